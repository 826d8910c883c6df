// Package api holds the contract of the HTTP surface: the OpenAPI document, as the server serves it. Package server's
// tests hold it against real answers; nothing is generated from it.
package api

import _ "embed"

//go:embed openapi.yaml
var document string

// Document returns the OpenAPI document, in YAML.
func Document() string { return document }
