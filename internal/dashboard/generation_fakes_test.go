package dashboard

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kinora/kinora"
)

// fakeHistories has the histories that a test gives it, of north.
type fakeHistories struct {
	mu        sync.Mutex
	by        map[string]kinora.History
	origin    kinora.Origin
	cancelled []string
}

func (f *fakeHistories) History(_ context.Context, organisationID, id string) (*kinora.History, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.by[id]
	if !ok || organisationID != north {
		return nil, kinora.Errorf(kinora.ErrNotFound, "generation not found")
	}
	g := *h.Generation
	h.Generation = &g
	return &h, nil
}

func (f *fakeHistories) Files(ctx context.Context, organisationID, id string) (*kinora.History, error) {
	h, err := f.History(ctx, organisationID, id)
	if err != nil {
		return nil, err
	}
	return &kinora.History{Generation: h.Generation, Source: h.Source, Outputs: h.Outputs}, nil
}

func (f *fakeHistories) Origin(context.Context, *kinora.Generation) (*kinora.Origin, error) {
	return &f.origin, nil
}

func (f *fakeHistories) Outlook(context.Context, *kinora.Generation) (kinora.Outlook, error) {
	return kinora.Outlook{}, nil
}

func (f *fakeHistories) Cancel(ctx context.Context, organisationID, id string) (*kinora.Generation, error) {
	h, err := f.History(ctx, organisationID, id)
	if err != nil {
		return nil, err
	}
	if h.Generation.State.Terminal() {
		return nil, kinora.Errorf(kinora.ErrConflict, "the generation has ended as %s and cannot be cancelled", h.Generation.State)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	actor, _ := kinora.ActorOf(ctx)
	f.cancelled = append(f.cancelled, id+" by "+actor.Name)
	return h.Generation, nil
}

func (f *fakeHistories) set(h kinora.History) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[string]kinora.History{}
	}
	f.by[h.Generation.ID] = h
}

// fakeInputs knows the files behind "https://files.example/ORGANISATION/NAME": their owner's only.
type fakeInputs struct{}

func (fakeInputs) InputFiles(_ context.Context, organisationID string, addresses []string) ([]*InputFile, error) {
	files := make([]*InputFile, len(addresses))
	for i, address := range addresses {
		address, _, _ = strings.Cut(address, "?")
		if name, ok := strings.CutPrefix(address, "https://files.example/"+organisationID+"/"); ok {
			files[i] = &InputFile{Key: "temp/" + name, ContentType: map[string]string{"png": "image/png", "mp4": "video/mp4", "svg": "image/svg+xml"}[name[len(name)-3:]]}
		}
	}
	return files, nil
}

// fakeAPI notes what it is called with, and answers as a test says.
type fakeAPI struct {
	mu     sync.Mutex
	calls  []apiCall
	answer func(apiCall) ([]byte, error)
}

type apiCall struct {
	Method, Path, Key, Body, Actor, Organisation string
}

func (f *fakeAPI) Call(r *http.Request, actor kinora.Actor, organisationID string) (http.Header, []byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	c := apiCall{r.Method, r.URL.Path, r.Header.Get("Idempotency-Key"), string(body), actor.Name, organisationID}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
	if f.answer == nil {
		return nil, nil, kinora.Errorf(kinora.ErrNotFound, "generation not found")
	}
	answer, err := f.answer(c)
	return http.Header{}, answer, err
}

func (f *fakeAPI) Pass(http.ResponseWriter, *http.Request, kinora.Actor, string) error { return nil }

func fakeFileURL(key string) (string, time.Time) {
	return "http://kinora.test/files/" + key + "?signed", time.Now()
}
