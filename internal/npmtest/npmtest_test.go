package npmtest

import (
	"strings"
	"testing"
)

// told is a test that only notes what becomes of it.
type told struct {
	testing.TB
	said string
}

func (t *told) Helper()                      {}
func (t *told) Skip(args ...any)             { t.said = "skipped: " + args[0].(string); panic(t) }
func (t *told) Fatalf(f string, args ...any) { t.said = "failed: " + args[0].(string); panic(t) }

// What a machine lacks skips a test, unless whoever runs it has said that nothing is lacking. Both end a test, as told's do.
func TestWhatAMachineLacks(t *testing.T) {
	for value, want := range map[string]string{"": "skipped: ", "1": "failed: "} {
		t.Setenv(All, value)
		for what, lacks := range map[string]func(testing.TB){
			"no registry is reached":                           func(t testing.TB) { Lacks(t, "no registry is reached") },
			"a-program-that-nobody-has is not on this machine": func(t testing.TB) { Needs(t, "a-program-that-nobody-has") },
		} {
			one := told{}
			func() {
				defer func() { _ = recover() }()
				lacks(&one)
			}()
			if !strings.HasPrefix(one.said, want+what) {
				t.Errorf("%s=%q: %s", All, value, one.said)
			}
		}
	}
}
