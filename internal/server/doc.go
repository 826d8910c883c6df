// Package server is the HTTP face of Kinora: the submit API, the generations API, uploads, files, inbound upstream
// callbacks, the admin API and the routes of operation. One file per surface returns its routes; routes.go has them all
// as data, and middleware.go does once, around every route, what all of them need: request id, panics, limits,
// authentication, metrics, the access log and errors in the dialect of the route.
//
// Its duty ends at the text: it turns requests into the types of package kinora and answers of the services back into
// the contracts' bodies. It does not decide what a model allows, holds no state that outlives the process, and opens no
// connection of its own. What it needs done it asks of the interfaces declared here, which package app fills in.
package server
