package simulator

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OrdersHeader carries orders of a whole request, as "fail=1027, time=2s".
const OrdersHeader = "X-Simulate"

// Orders are what a caller wants a simulated upstream to do to his own job: how long it
// takes, how it fails. They travel in double square brackets within the prompt, since that
// is what every gateway passes on ("a fox in snow [[fail=1027 time=2s]]"), or in
// OrdersHeader. Which ones there are is each simulator's own choice.
type Orders map[string]string

var bracketed = regexp.MustCompile(`\[\[([^\[\]]*)\]\]`)

// ReadOrders reads the orders of a request: those of its header, and those of its texts,
// which win. A word without "=" has an empty value.
func ReadOrders(h http.Header, texts ...string) Orders {
	o := Orders{}
	o.add(h.Get(OrdersHeader))
	for _, text := range texts {
		for _, found := range bracketed.FindAllStringSubmatch(text, -1) {
			o.add(found[1])
		}
	}
	return o
}

func (o Orders) add(list string) {
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(word, "=")
		o[key] = value
	}
}

// Has tells whether something was ordered.
func (o Orders) Has(key string) bool { _, ok := o[key]; return ok }

// Count reads a number of times: a number, or 1 for the bare word; 0 = not ordered.
func (o Orders) Count(key string) int {
	value, ok := o[key]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 1
	}
	return n
}

// Duration reads a time such as "2s", or plain seconds; otherwise what is not ordered or
// cannot be read.
func (o Orders) Duration(key string, otherwise time.Duration) time.Duration {
	value := o[key]
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 && seconds < 1e6 {
		return time.Duration(seconds * float64(time.Second))
	}
	if d, err := time.ParseDuration(value); err == nil && d >= 0 {
		return d
	}
	return otherwise
}

// Check refuses orders that are not among those known: a typing error would otherwise look
// like an upstream in perfect health.
func (o Orders) Check(known ...string) error {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("unknown order %q; known are %s", key, strings.Join(known, ", "))
		}
	}
	return nil
}
