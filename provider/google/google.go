// Package google translates between Kinora and Google's generation services: Veo (on the
// Gemini API and on Vertex AI), Gemini Omni videos through the Interactions API, and Gemini
// images ("Nano Banana"). Which back end an account is at, its settings tell; which protocol a
// model speaks, its name.
//
// Facts in this package are those of the contract upstream-google.md, whose sections the
// comments name.
package google

import (
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "google"

// The account settings that are read.
const (
	SettingAPIKey         = "api_key"
	SettingProject        = "project"
	SettingLocation       = "location"
	SettingServiceAccount = "service_account"
	SettingStorageURI     = "storage_uri"
	SettingStorageURL     = "storage_url"
)

// New returns the provider.
func New() *Google { return &Google{tokens: newTokens(), keys: newKeySets()} }

// Google speaks Google's APIs. Beside Provider it is a Canceler (Omni alone can be ended early),
// an Opener (most outputs want the account's key, or come inside an answer) and a
// CallbackVerifier. It keeps access tokens of Vertex accounts and the public keys that
// callbacks are signed with, and nothing else.
type Google struct {
	tokens *tokens
	keys   *keySets
}

var (
	_ provider.Provider          = (*Google)(nil)
	_ provider.Fielder           = (*Google)(nil)
	_ provider.Canceler          = (*Google)(nil)
	_ provider.Opener            = (*Google)(nil)
	_ provider.Splitter          = (*Google)(nil)
	_ provider.CallbackVerifier  = (*Google)(nil)
	_ provider.CallbackRegistrar = (*Google)(nil)
	_ provider.AccountChecker    = (*Google)(nil)
)

// Name implements provider.Provider.
func (*Google) Name() string { return Name }

// family is a protocol.
type family int

const (
	veo   family = iota // long-running predictions (section 2)
	omni                // interactions (section 3)
	image               // generateContent, synchronous (section 5)
)

// familyOf goes by the upstream's id of a model; ids are configuration, and new ones follow
// the naming of the old.
func familyOf(upstreamModel string) family {
	switch name := strings.ToLower(modelID(upstreamModel)); {
	case strings.HasPrefix(name, "veo"):
		return veo
	case strings.Contains(name, "omni"):
		return omni
	}
	return image
}

// modelID is an upstream's id without the "models/" that the Gemini API lists it under.
func modelID(upstreamModel string) string { return strings.TrimPrefix(upstreamModel, "models/") }

// Describe implements provider.Provider.
func (*Google) Describe() provider.Description {
	return provider.Description{
		Models: []kinora.Model{
			{Name: "nano-banana-2", Kind: kinora.KindImage, UpstreamModel: "gemini-3.1-flash-image"},
			{Name: "nano-banana-pro", Kind: kinora.KindImage, UpstreamModel: "gemini-3-pro-image"},
			{Name: "gemini-omni-1.1-flash", Kind: kinora.KindVideo},
		},
		Traits: traits,
		Poll:   provider.Pace{First: 10 * time.Second, Interval: 10 * time.Second, Ceiling: 30 * time.Second},
		Hosts:  []provider.Host{{Region: "global", BaseURL: geminiURL}},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the key of an account at the Gemini API; empty for one at Vertex AI", Secret: true},
			{Name: SettingProject, Meaning: "the Google Cloud project of an account at Vertex AI; empty = the service account's, where there is one"},
			{Name: SettingLocation, Meaning: "the Vertex AI location, such as us-central1; empty = " + defaultLocation},
			{Name: SettingServiceAccount, Meaning: "the service account's JSON, or the path of a file that holds it; empty = the credentials of the machine, where project is set", Secret: true},
			{Name: SettingStorageURI, Meaning: "where Vertex AI puts videos, as gs://bucket/folder; empty = inside its answers"},
			{Name: SettingStorageURL, Meaning: "where Cloud Storage is reached; empty = " + cloudStorageURL},
		},
	}
}

// traits tells the protocols apart. A caller's own callback URL is for none of them (submit
// API contract, 4.2).
func traits(upstreamModel string) provider.Traits {
	switch familyOf(upstreamModel) {
	case veo:
		return provider.Traits{Batch: "veo", Hints: true}
	case omni:
		return provider.Traits{Batch: "omni", Hints: true}
	}
	return provider.Traits{Synchronous: true}
}
