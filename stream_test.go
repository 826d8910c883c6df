package kinora_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
)

func TestStreamPlaceIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		place := kinora.StreamPlace{Position: rapid.Int64Min(0).Draw(t, "position"), Since: time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "since")).UTC()}
		if got, err := kinora.ParseStreamPlace(place.String()); err != nil || got != place || got.IsZero() {
			t.Fatalf("%v became %v, %v", place, got, err)
		}
	})
}

func FuzzParseStreamPlace(f *testing.F) {
	for _, text := range []string{"", "0", "2", "-4", "0-0", "1--1", "-1-1", "1-1-1", "+1-1", " 1-1", "evt_1", "1-", "9223372036854775808-1", "1-9223372036854775808"} {
		if place, err := kinora.ParseStreamPlace(text); err == nil {
			f.Errorf("%q was read as %v", text, place)
		}
		f.Add(text)
	}
	f.Add("0-1750000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		place, err := kinora.ParseStreamPlace(text)
		if err != nil {
			return
		}
		if place.Position < 0 || place.IsZero() {
			t.Errorf("%q was read as %v", text, place)
		}
		if again, err := kinora.ParseStreamPlace(place.String()); err != nil || again != place {
			t.Errorf("%q was read as %v, which was read as %v, %v", text, place, again, err)
		}
	})
}
