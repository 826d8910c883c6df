package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// heldAssets lets nobody read before release is closed.
type heldAssets struct {
	Assets
	mu      sync.Mutex
	inside  int
	release chan struct{}
	asked   [][]string
	answer  func() []*kinora.SourceAsset
}

func (h *heldAssets) Ingests(_ context.Context, _ string, ids []string) ([]*kinora.SourceAsset, error) {
	h.mu.Lock()
	h.inside++
	h.asked = append(h.asked, slices.Clone(ids))
	h.mu.Unlock()
	<-h.release
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inside--
	return h.answer(), nil
}

// follow opens a page's stream, which goes on until the test ends it or it ends by itself. closed tells when.
func (s *stand) follow(ctx context.Context, path string) (got *httptest.ResponseRecorder, closed chan struct{}) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://kinora.test"+Prefix+"/o/"+north+path, nil)
	r.AddCookie(&http.Cookie{Name: s.cookieName(sessionCookie), Value: "member"})
	got, closed = httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(closed)
		s.Handler().ServeHTTP(got, r)
	}()
	return got, closed
}

// However many pages are open, no more than two read at a time, and the others have their turn.
func TestOpenPagesReadAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &heldAssets{release: make(chan struct{}), answer: func() []*kinora.SourceAsset { return nil }}
		s := newStand(t, func(c *Config) { held.Assets, c.Assets = c.Assets, held })
		ctx, cancel := context.WithCancel(t.Context())
		var ends []chan struct{}
		for range maxPersonStreams - 1 {
			_, closed := s.follow(ctx, "/assets/live?waiting=ing_001")
			ends = append(ends, closed)
		}
		synctest.Wait()
		if held.inside != maxLooks {
			t.Errorf("%d pages read at once, want %d", held.inside, maxLooks)
		}
		close(held.release)
		synctest.Wait()
		if len(held.asked) != maxPersonStreams-1 {
			t.Errorf("%d of %d pages have read", len(held.asked), maxPersonStreams-1)
		}
		cancel()
		for _, closed := range ends {
			<-closed
		}
	})
}

// A session that was to be looked at while its page waited for a place reads nothing once it has ended.
func TestAPageThatWaitedReadsForNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &heldAssets{release: make(chan struct{}), answer: func() []*kinora.SourceAsset { return nil }}
		s := newStand(t, func(c *Config) { held.Assets, c.Assets = c.Assets, held })
		for range maxLooks {
			s.looks <- struct{}{}
		}
		_, closed := s.follow(t.Context(), "/assets/live?waiting=ing_001")
		time.Sleep(2 * heartbeat) // on the bubble's clock
		if err := s.people.SignOut(t.Context(), "member"); err != nil {
			t.Fatal(err)
		}
		close(held.release)
		<-s.looks
		<-closed
		if len(held.asked) > 0 {
			t.Errorf("it has read %v", held.asked)
		}
	})
}

// The page of a delivery that does not change asks for its version alone, and for all of it once that is another.
func TestADeliverysPageAsksForItsVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, nil)
		s.webhooks.delivery.State = kinora.DeliveryPending
		ctx, cancel := context.WithCancel(t.Context())
		got, closed := s.follow(ctx, fmt.Sprintf("/webhooks/deliveries/%s/live?seen=%d", someDelivery, s.webhooks.delivery.Version))
		time.Sleep(5 * livePace)
		synctest.Wait()
		if s.webhooks.logs != 1 || s.webhooks.versions < 4 || strings.Contains(got.Body.String(), "data:") {
			t.Errorf("read %d times, its version %d times:\n%s", s.webhooks.logs, s.webhooks.versions, got.Body)
		}
		s.webhooks.delivery.Version++
		time.Sleep(2 * livePace)
		synctest.Wait()
		if s.webhooks.logs != 2 || !strings.Contains(got.Body.String(), "data:") {
			t.Errorf("changed, it was read %d times:\n%s", s.webhooks.logs, got.Body)
		}
		cancel()
		<-closed
	})
}

// The stream of a gallery asks once for all that it waits for, for no longer than something is on its way, and ends when nothing is.
func TestTheGallerysStreamEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		held := &heldAssets{release: make(chan struct{})}
		close(held.release)
		held.answer = func() []*kinora.SourceAsset {
			switch looks++; looks {
			case 1: // the third has been removed
				return []*kinora.SourceAsset{readyAsset(1), {IngestID: "ing_002", OrganisationID: north, State: kinora.AssetProcessing}}
			}
			return []*kinora.SourceAsset{readyAsset(2)}
		}
		s := newStand(t, func(c *Config) { held.Assets, c.Assets = c.Assets, held })
		got, closed := s.follow(t.Context(), "/assets/live?waiting=ing_001,ing_002,ing_003")
		<-closed
		if want := [][]string{{"ing_001", "ing_002", "ing_003"}, {"ing_002"}}; !slices.EqualFunc(held.asked, want, slices.Equal) {
			t.Errorf("it asked for %v, want %v", held.asked, want)
		}
		body := got.Body.String()
		has(t, body, `id="asset-ing_001"`, `id="asset-ing_002"`)
		if end := body[strings.LastIndex(body, "<div"):]; !strings.Contains(end, `id="assets-live"`) || strings.Contains(end, "/live") {
			t.Errorf("the page is left to come back: %s", end)
		}
	})
}
