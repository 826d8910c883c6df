package closest

import "testing"

func TestWord(t *testing.T) {
	known := []string{"listen", "public_url", "log", "Living Room"}
	for wrong, want := range map[string]string{
		"lisen": "listen", "lgo": "", "public-url": "public_url", "living Room": "Living Room", "living room": "Living Room", "": "", "storage": "",
	} {
		if got := Word(wrong, known); got != want {
			t.Errorf("Word(%q) = %q, want %q", wrong, got, want)
		}
	}
}
