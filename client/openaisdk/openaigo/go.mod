module github.com/kinora/kinora/client/openaisdk/openaigo

go 1.26.0

// Not the newest one on purpose: it compiles in a quarter of the time, and sends the same requests.
require github.com/openai/openai-go/v3 v3.3.0

require (
	github.com/tidwall/gjson v1.14.4 // indirect
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.1 // indirect
	github.com/tidwall/sjson v1.2.5 // indirect
)
