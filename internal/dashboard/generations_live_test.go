package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// made is a generation of so many minutes past noon.
func made(minute int, state kinora.GenerationState, progress int) kinora.Generation {
	return kinora.Generation{ID: fmt.Sprintf("task_%03d", minute), State: state, Progress: progress, Model: "sandbox-image", CreatedAt: noon.Add(time.Duration(minute) * time.Minute)}
}

func names(rows []generationRow) []string {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// What is told of a page that changes: new ones on top, changes in their place, also of what the filter does not find any more,
// and what a page that grows loses at its end.
func TestLiveListTellsWhatChanges(t *testing.T) {
	s := newStand(t, nil)
	v := &visit{Dashboard: s.Dashboard, organisation: &kinora.Organisation{ID: north}}
	row := func(g kinora.Generation) generationRow { return v.generationRow(&g) }
	full := func(from, to int) (rows []generationRow) {
		for m := to; m >= from; m-- {
			rows = append(rows, row(made(m, kinora.GenerationSucceeded, 100)))
		}
		return rows
	}
	for name, c := range map[string]struct {
		page, found   []generationRow
		exists        []kinora.Generation // beside what is found
		fresh, gone   []string
		changed, ends []string
	}{
		"nothing": {page: full(1, 3), found: full(1, 3)},
		"new":     {page: full(1, 3), found: full(1, 5), fresh: []string{"task_005", "task_004"}},
		"progress": {page: []generationRow{row(made(1, kinora.GenerationQueued, 0))}, found: []generationRow{row(made(1, kinora.GenerationRunning, 40))},
			changed: []string{"task_001"}},
		"end": {page: []generationRow{row(made(1, kinora.GenerationRunning, 40))}, found: []generationRow{row(made(1, kinora.GenerationFailed, 40))},
			changed: []string{"task_001"}, ends: []string{"task_001"}},
		"not found any more": {page: []generationRow{row(made(2, kinora.GenerationRunning, 1)), row(made(1, kinora.GenerationRunning, 1))},
			found: []generationRow{row(made(1, kinora.GenerationRunning, 1))}, exists: []kinora.Generation{made(2, kinora.GenerationSucceeded, 100)},
			changed: []string{"task_002"}, ends: []string{"task_002"}},
		"purged":             {page: []generationRow{row(made(1, kinora.GenerationRunning, 1))}, gone: []string{"task_001"}},
		"up from next page":  {page: full(2, 4), found: full(1, 3)},
		"matches only now":   {page: []generationRow{row(made(3, kinora.GenerationRunning, 0)), row(made(1, kinora.GenerationRunning, 0))}, found: []generationRow{row(made(3, kinora.GenerationRunning, 0)), row(made(2, kinora.GenerationRunning, 0)), row(made(1, kinora.GenerationRunning, 0))}, fresh: []string{"task_002"}},
		"grown beyond twice": {page: full(1, maxLiveRows), found: full(maxLiveRows-48, maxLiveRows+1), fresh: []string{fmt.Sprintf("task_%03d", maxLiveRows+1)}, gone: []string{"task_001"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.generations.set(c.exists...)
			l := v.liveGenerationList(generationFilter{})
			l.rows = c.page
			got, err := l.change(t.Context(), c.found)
			if err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2][]string{"new": {names(got.New), c.fresh}, "changed": {names(got.Changed), c.changed}, "ended": {names(endedRows(got.Changed)), c.ends}, "gone": {got.Gone, c.gone}} {
				if !slices.Equal(pair[0], pair[1]) {
					t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
				}
			}
			if again, err := l.change(t.Context(), c.found); err != nil || !again.empty() {
				t.Errorf("the same once more: %+v, %v", again, err)
			}
		})
	}
}

// A stream begins with what happened since the page was drawn, says nothing of what the browser knows, and ends with the session.
func TestLiveListGoesOnWhereThePageWas(t *testing.T) {
	s := newStand(t, nil)
	s.generations.set(made(1, kinora.GenerationRunning, 10))
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cookie := "member"
	ask := func(query, told string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+Prefix+"/o/"+north+"/generations/live?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: cookie})
		if told != "" {
			r.Header.Set("Last-Event-ID", told)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	read := func(answer *http.Response, until string) string {
		var all strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(all.String(), until) {
			n, err := answer.Body.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				t.Fatalf("the stream ended without %q: %s", until, all.String())
			}
		}
		return all.String()
	}
	page := s.ask("member", Prefix+"/o/"+north+"/generations", nil).Body.String()
	seen := page[strings.Index(page, "seen=")+5:]
	seen = seen[:strings.IndexByte(seen, '"')]

	s.generations.read = make(chan struct{}, 1)
	known := ask("seen="+seen, "")
	<-s.generations.read
	s.generations.set(made(1, kinora.GenerationSucceeded, 100))
	if text := read(known, "task_001"); strings.Contains(text, "<tbody") || !strings.Contains(text, "succeeded") {
		t.Errorf("a page that knows its rows is told %s", text)
	}
	if text := read(ask("seen="+seen, ""), "task_001"); !strings.Contains(text, `id="generations-rows"`) {
		t.Errorf("a page that is old is told %s", text)
	}
	// Another session of the same person has no places of its own.
	s.people.mu.Lock()
	elsewhere := *s.people.sessions["member"]
	elsewhere.Session.ID = "ses_elsewhere"
	s.people.sessions["elsewhere"] = &elsewhere
	s.people.mu.Unlock()
	cookie = "elsewhere"
	for range maxPersonStreams - 2 {
		if answer := ask("", ""); answer.StatusCode != http.StatusOK {
			t.Fatalf("a further page: %d", answer.StatusCode)
		}
	}
	if answer := ask("", ""); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one stream too many: %d", answer.StatusCode)
	}
	s.Drain()
	buf := make([]byte, 4096)
	for {
		if _, err := known.Body.Read(buf); err != nil {
			break // the stream has ended
		}
	}
}
