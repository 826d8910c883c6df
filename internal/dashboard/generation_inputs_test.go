package dashboard

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// modelHistory is a generation of a model that was made from files at addresses: the organisation's own, a foreign one, and others'.
func modelHistory() kinora.History {
	h := workflowHistory()
	g := h.Generation
	g.Request, g.SourceAssetID, g.Surface, h.Source = nil, "", kinora.SurfaceSubmit, nil
	g.Model, g.Kind = "clip", kinora.KindVideo
	own, others := "https://files.example/"+north+"/", "https://files.example/"+south+"/"
	g.Input = kinora.Input{Prompt: "a pier", Images: []string{"https://example.com/foreign.png?key=secret", own + "first.png?sig=secret", others + "theirs.png?sig=secret", own + "drawing.svg"},
		Metadata: map[string]json.RawMessage{"tail": json.RawMessage(`{"frames":["` + own + `last.png?sig=x","` + own + `first.png?sig=secret"]}`), "clip": json.RawMessage(`"` + own + `walk.mp4"`), "n": json.RawMessage("2")}}
	return h
}

// A page shows the organisation's own files among those that a model was given, the first picture under the slider; each is asked for
// again at an address of the page, and nobody else's is shown.
func TestInputsAreShownToTheirOrganisation(t *testing.T) {
	s := newStand(t, nil)
	s.histories.set(modelHistory())
	body := s.ask("member", page(""), nil).Body.String()
	has(t, body, `class="compare-over" src="`+page("/inputs/2")+`"`, "Source and outputs", `aria-label="Source 2"`, `src="`+page("/inputs/5")+`"`, `alt="Source 3"`, `src="`+page("/inputs/6")+`"`)
	for _, never := range []string{"/inputs/1\"", "/inputs/3", "/inputs/4", "/inputs/7", "temp/first.png"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
	for _, tc := range []struct {
		who, n string
		want   int
		to     string
	}{
		{"member", "2", http.StatusFound, "http://kinora.test/files/temp/first.png?signed"},
		{"operator", "5", http.StatusFound, "http://kinora.test/files/temp/walk.mp4?signed"},
		{"member", "6", http.StatusFound, "http://kinora.test/files/temp/last.png?signed"},
		{"member", "1", http.StatusNotFound, ""},   // a foreign address
		{"operator", "3", http.StatusNotFound, ""}, // another organisation's file
		{"member", "4", http.StatusNotFound, ""},   // could carry scripts
		{"member", "7", http.StatusNotFound, ""},
		{"member", "0", http.StatusNotFound, ""},
		{"member", "x", http.StatusNotFound, ""},
		{"stranger", "2", http.StatusNotFound, ""},
	} {
		if got := s.ask(tc.who, page("/inputs/"+tc.n), nil); got.Code != tc.want || got.Header().Get("Location") != tc.to {
			t.Errorf("%s asks for input %s: %d %s", tc.who, tc.n, got.Code, got.Header().Get("Location"))
		}
	}
	if got := s.ask("stranger", strings.Replace(page("/inputs/3"), north, south, 1), nil); got.Code != http.StatusNotFound {
		t.Errorf("the owner of an address elsewhere: %d", got.Code)
	}
}

// Where there are only videos, nothing is compared; a workflow's source stays what outputs are compared with.
func TestInputsBesideAnotherSource(t *testing.T) {
	clip := picture{Href: "clip", Video: true}
	var m media
	m.putInputs([]picture{clip})
	if m.Source != nil || len(m.Inputs) != 1 || m.Inputs[0].name() != "Source" {
		t.Errorf("a video alone: %+v", m)
	}
	m = media{Source: &picture{Href: "source"}}
	m.putInputs([]picture{{Href: "other"}})
	if m.Source.Href != "source" || len(m.Inputs) != 1 || m.Inputs[0].name() != "Source 2" {
		t.Errorf("beside a source: %+v", m)
	}
}

func TestInputAddressesAreBounded(t *testing.T) {
	in := kinora.Input{Metadata: map[string]json.RawMessage{"odd": json.RawMessage(`"http`)}}
	for i := range 2 * maxInputs {
		in.Images = append(in.Images, "https://example.com/"+strings.Repeat("a", i+1), "ftp://example.com/a")
	}
	if list := inputAddresses(&in); len(list) != maxInputs || list[0] != "https://example.com/a" {
		t.Errorf("%d addresses, %v first", len(list), list[0])
	}
}
