// Package kinora holds the domain of the gateway: its nouns, their states and the
// moves between them, and the closed sets of error and failure codes.
//
// It imports the standard library only and knows nothing of HTTP, SQL or any
// upstream. Every other package of the module meets in these types; see
// docs/architecture.md for the map.
package kinora
