package webhook

import "testing"

// A commit wakes the streams of its organisation, not those of others, and none that has ended.
func TestANudgeWakesItsOrganisationAlone(t *testing.T) {
	var l listeners
	type stream struct {
		bell  chan struct{}
		leave func()
	}
	join := func(organisation string) stream {
		bell, leave := l.join(organisation)
		return stream{bell, leave}
	}
	first, second, other := join("org_a"), join("org_a"), join("org_b")
	for name, tc := range map[string]struct {
		organisation         string
		first, second, other int
	}{
		"two streams": {"org_a", 1, 1, 0},
		"another":     {"org_b", 0, 0, 1},
		"nobody":      {"org_c", 0, 0, 0},
	} {
		l.wake(tc.organisation)
		l.wake(tc.organisation) // before it was heard: once is enough
		if len(first.bell) != tc.first || len(second.bell) != tc.second || len(other.bell) != tc.other {
			t.Errorf("%s: %d, %d and %d bells ring", name, len(first.bell), len(second.bell), len(other.bell))
		}
		for _, s := range []stream{first, second, other} {
			if len(s.bell) > 0 {
				<-s.bell
			}
		}
	}
	first.leave()
	l.wake("org_a")
	if len(first.bell) != 0 || len(second.bell) != 1 {
		t.Error("a stream that has ended was woken, or the one beside it was not")
	}
	second.leave()
	other.leave()
	if len(l.bells) != 0 {
		t.Errorf("%d organisations are still listened for", len(l.bells))
	}
}
