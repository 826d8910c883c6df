package dashboard

import "net/http"

// Pages are the patterns of all that is asked for by GET and answered at once, behind the server's address, as the table of
// routes has them. Whoever wants to look at every page walks along them.
func (d *Dashboard) Pages() (patterns []string) {
	for _, rt := range d.routes {
		if rt.method == http.MethodGet && !rt.streams {
			patterns = append(patterns, Prefix+rt.pattern)
		}
	}
	return patterns
}
