package dashboard

import (
	"strings"
	"time"
)

// How the filters above lists are read: what cannot be understood narrows nothing.

// minute is how browsers write times in forms.
const minute = "2006-01-02T15:04"

// minuteOf reads a time of a form; the text is "" where it is none.
func minuteOf(text string) (time.Time, string) {
	t, err := time.Parse(minute, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, ""
	}
	return t, text
}

// plainText is a text from a form or an address, without spaces around it.
func plainText(text string) string { return strings.TrimSpace(storable(text)) }
