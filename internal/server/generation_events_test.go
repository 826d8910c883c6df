package server

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// followedTime is how long a request to what followed makes may take, and as long its answer, unless it is a stream.
const followedTime = time.Second

// followed is a server on a real connection with one generation that is under way, and the URL of its events.
func followed(t *testing.T) (f *fixture, g kinora.Generation, url string) {
	t.Helper()
	f, _, url = streamFixture(t, followedTime)
	f.follows.pace, f.heartbeat = 5*time.Millisecond, 20*time.Millisecond
	g = kinora.Generation{ID: jobOne, OrganisationID: ownID, State: kinora.GenerationRunning, Progress: 10, CreatedAt: testTime, UpdatedAt: testTime,
		Metadata: json.RawMessage("{\"a\":\r\n1}")}
	f.generations.store(&g)
	return f, g, url + "/api/v1/generations/" + jobOne + "/events"
}

// become changes what is stored.
func (f *fixture) become(g kinora.Generation) {
	f.generations.mu.Lock()
	defer f.generations.mu.Unlock()
	f.generations.stored[g.ID] = &g
}

// nextEvent passes over comments, and returns an event's lines with its data put together.
func nextEvent(t *testing.T, r *bufio.Reader) (id, name, data string) {
	t.Helper()
	for {
		text := block(t, r)
		if strings.HasPrefix(text, ":") || strings.HasPrefix(text, "retry:") {
			continue
		}
		var lines []string
		for line := range strings.Lines(text) {
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch field {
			case "id":
				id = value
			case "event":
				name = value
			case "data":
				lines = append(lines, value)
			}
		}
		return id, name, strings.Join(lines, "\n")
	}
}

func TestGenerationEvents(t *testing.T) {
	f, g, url := followed(t)
	resp, r := openStream(t, url, testKey)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	id, name, data := nextEvent(t, r)
	var record struct {
		Status   string
		Progress int
		Outputs  []struct{ URL string }
	}
	if err := json.Unmarshal([]byte(data), &record); err != nil || id != "processing-10" || name != "update" || record.Status != "processing" || !strings.Contains(data, "\"metadata\":{\"a\":\n1},") {
		t.Fatalf("%s %s %s (%v)", id, name, data, err)
	}
	if text := block(t, r); !strings.HasPrefix(text, ": ") {
		t.Fatalf("no sign of life, but %q", text)
	}
	time.Sleep(followedTime + followedTime/10) // no deadline of the server's may end it
	g.Progress = 55
	f.become(g)
	if id, name, _ = nextEvent(t, r); id != "processing-55" || name != "update" {
		t.Fatalf("%s %s", id, name)
	}
	g.State, g.Progress = kinora.GenerationSucceeded, 100
	f.generations.mu.Lock()
	f.generations.outputs[g.ID] = []kinora.Output{{ID: "out_1", BlobKey: "a.jpg"}}
	f.generations.mu.Unlock()
	f.become(g)
	id, name, data = nextEvent(t, r)
	if err := json.Unmarshal([]byte(data), &record); err != nil || id != "succeeded-100" || name != "end" || len(record.Outputs) != 1 || record.Outputs[0].URL == "" {
		t.Fatalf("%s %s %s (%v)", id, name, data, err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the end came %q, %v", rest, err)
	}
	// Who knows the end need not come back; who does not is told.
	if resp, _ = openStream(t, url, testKey, "Last-Event-ID", id); resp.StatusCode != 204 {
		t.Errorf("answered %d to a reader who knows the end", resp.StatusCode)
	}
	_, r = openStream(t, url, testKey, "Last-Event-ID", "processing-55")
	if id, name, _ = nextEvent(t, r); id != "succeeded-100" || name != "end" {
		t.Errorf("%s %s", id, name)
	}
}

// Who comes back is told what has changed since, and nothing else.
func TestGenerationEventsResume(t *testing.T) {
	f, g, url := followed(t)
	_, r := openStream(t, url, testKey, "Last-Event-ID", "processing-10")
	for range 3 {
		if text := block(t, r); !strings.HasPrefix(text, ": ") && !strings.HasPrefix(text, "retry:") {
			t.Fatalf("told again: %q", text)
		}
	}
	g.Progress = 11
	f.become(g)
	if id, _, _ := nextEvent(t, r); id != "processing-11" {
		t.Errorf("told %s", id)
	}
}

// Whatever ends the stream before its generation, the reader finds out why when it comes back.
func TestGenerationEventsEndEarly(t *testing.T) {
	for name, end := range map[string]func(f *fixture, g kinora.Generation){
		"drained": func(f *fixture, _ kinora.Generation) { f.drain() },
		"purged": func(f *fixture, g kinora.Generation) {
			f.generations.mu.Lock()
			defer f.generations.mu.Unlock()
			delete(f.generations.stored, g.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, g, url := followed(t)
			_, r := openStream(t, url, testKey)
			nextEvent(t, r)
			end(f, g)
			if _, err := io.ReadAll(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGenerationEventsAreBounded(t *testing.T) {
	f, _, url := followed(t)
	for range maxFollowsPerKey {
		f.following.enter("key_1")
	}
	resp, _ := openStream(t, url, testKey)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("answered %d", resp.StatusCode)
	}
}

// However many follow, one look a while is made, and none when nobody does.
func TestFollowsLookTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		looks := 0
		state := kinora.Standing{State: kinora.GenerationQueued}
		f.follows = newFollows(t.Context(), func(_ context.Context, ids []string) (map[string]kinora.Standing, error) {
			looks++
			if len(ids) != 2 {
				t.Errorf("looked at %q", ids)
			}
			return map[string]kinora.Standing{"a": state, "b": {State: kinora.GenerationQueued}}, nil
		})
		var bells []<-chan struct{}
		var leaves []func()
		for _, id := range []string{"a", "a", "b"} {
			bell, leave := f.follows.join(id, standing{State: kinora.GenerationQueued})
			bells, leaves = append(bells, bell), append(leaves, leave)
		}
		time.Sleep(10*followPace + followPace/2)
		if looks != 10 {
			t.Errorf("%d looks in ten paces", looks)
		}
		state.State = kinora.GenerationRunning
		time.Sleep(followPace)
		rung := 0
		for _, bell := range bells {
			select {
			case <-bell:
				rung++
			default:
			}
		}
		if rung != 2 {
			t.Errorf("%d bells rang, want those of a", rung)
		}
		for _, leave := range leaves {
			leave()
		}
		looks = 0
		time.Sleep(10 * followPace)
		if looks != 0 {
			t.Errorf("%d looks at nothing", looks)
		}
	})
}
