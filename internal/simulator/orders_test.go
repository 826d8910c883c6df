package simulator

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestReadOrders(t *testing.T) {
	header := http.Header{OrdersHeader: {"fail=1027, time=2s;late"}}
	for _, tc := range []struct {
		texts []string
		want  Orders
	}{
		{nil, Orders{"fail": "1027", "time": "2s", "late": ""}},
		{[]string{"a fox [Push in] [[fail=1008]]", "[[x=a=b  y]] [[]] [[open"}, Orders{"fail": "1008", "time": "2s", "late": "", "x": "a=b", "y": ""}},
	} {
		if got := ReadOrders(header, tc.texts...); !maps.Equal(got, tc.want) {
			t.Errorf("%q: %v, want %v", tc.texts, got, tc.want)
		}
	}
	if got := ReadOrders(nil, "[fail=1]"); len(got) != 0 {
		t.Errorf("single brackets: %v", got)
	}
}

func TestOrderValues(t *testing.T) {
	o := Orders{"a": "3", "b": "", "c": "1.5", "d": "90s", "e": "-1s", "f": "soon"}
	for key, want := range map[string]int{"a": 3, "b": 1, "f": 1, "z": 0} {
		if got := o.Count(key); got != want {
			t.Errorf("count of %s: %d, want %d", key, got, want)
		}
	}
	for key, want := range map[string]time.Duration{"c": 1500 * time.Millisecond, "d": 90 * time.Second, "e": time.Hour, "f": time.Hour, "z": time.Hour} {
		if got := o.Duration(key, time.Hour); got != want {
			t.Errorf("duration of %s: %v, want %v", key, got, want)
		}
	}
	if !o.Has("b") || o.Has("z") {
		t.Error("Has is wrong")
	}
	if err := o.Check("a", "b", "c", "d", "e", "f", "g"); err != nil {
		t.Error(err)
	}
	if err := o.Check("a", "b", "c", "d", "f"); err == nil || !strings.Contains(err.Error(), `"e"`) {
		t.Errorf("an unknown order: %v", err)
	}
}
