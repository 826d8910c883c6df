package dashboard

import (
	"net/url"
	"strconv"
)

// listPage is how many rows a page has of a list that is read whole, because it has an order of its own.
const listPage = 100

// turns are the addresses of the pages around one; "" = there is none.
type turns struct{ First, Next string }

// from is how many rows of a list lie before the page that the address asks for.
func (v *visit) from() int {
	n, err := strconv.Atoi(v.query("from"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// pageOf is the page of a whole list that the address asks for; one behind its end is the last. params are what the list at action is
// narrowed by.
func pageOf[T any](v *visit, all []T, action string, params url.Values) ([]T, turns) {
	from := min(v.from(), max(0, len(all)-1)/listPage*listPage)
	at := func(n int) string {
		q := url.Values{"from": {strconv.Itoa(n)}}
		for name, values := range params {
			q[name] = values
		}
		return address(action, q)
	}
	var t turns
	if from > 0 {
		t.First = address(action, params)
	}
	all = all[from:]
	if len(all) > listPage {
		all, t.Next = all[:listPage], at(from+listPage)
	}
	return all, t
}
