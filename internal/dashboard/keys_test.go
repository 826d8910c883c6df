package dashboard

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestKeysAreListedByWhetherTheyWork(t *testing.T) {
	s := standAt1030(t)
	now := s.now()
	has(t, s.page(t, "admin", "/keys"), "No key works now")
	for id, k := range map[string]kinora.Key{
		"key_live": {}, "key_soon": {ExpiresAt: now.Add(time.Hour)}, "key_replaced": {ExpiresAt: now.Add(time.Hour), ReplacedBy: "key_live"},
		"key_expired": {ExpiresAt: now.Add(-time.Hour)}, "key_revoked": {RevokedAt: now},
	} {
		k.ID, k.Name, k.Start, k.CreatedAt = id, "name of "+id, "sk-abc", now
		s.tenant.keys = append(s.tenant.keys, &k)
	}
	body := s.page(t, "admin", "/keys")
	live, ended, found := strings.Cut(body, "They open nothing any more")
	if !found {
		t.Fatal("there is no list of what has ended")
	}
	has(t, live, "name of key_live", "expires soon", "replaced, ends soon", "rotate-key_soon", "revoke-key_replaced")
	has(t, ended, ">expired<", ">revoked<")
	for _, never := range []string{"rotate-key_expired", "revoke-key_revoked", "rotate-key_replaced"} {
		if strings.Contains(body, never) {
			t.Errorf("the page offers %s", never)
		}
	}
}

// However often keys are rotated, their page stays one that can be read.
func TestManyEndedKeysAreNotAllShown(t *testing.T) {
	s := newStand(t, nil)
	for range mostEnded + 7 {
		s.tenant.keys = append(s.tenant.keys, &kinora.Key{ID: "key_old", RevokedAt: s.now()})
	}
	s.tenant.keys = append(s.tenant.keys, &kinora.Key{ID: "key_newest", RevokedAt: s.now()})
	body := s.page(t, "admin", "/keys")
	has(t, body, "8 older ones", "key_newest")
	if n := strings.Count(body, ">key_old<"); n != mostEnded-1 {
		t.Errorf("%d old keys are shown", n)
	}
}

func TestKeysAreShownOnce(t *testing.T) {
	s := standAt1030(t)
	got := s.post("admin", "/keys/new", "name", " CI ", "kind", "sk", "life", "30")
	if got.Code != http.StatusOK {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	has(t, got.Body.String(), "sk-secret", "curl -s http://kinora.test/v1/models", "Bearer sk-secret")
	s.post("admin", "/keys/new", "name", "at", "kind", "kat_live", "life", "at", "at", "2026-05-22T00:00")
	s.post("admin", "/keys/new", "name", "ever", "kind", "sk", "life", "", "at", "2026-05-22T00:00")
	want := []string{"admin@example.com: create " + north + " CI sk " + "2026-06-19T00:00:00Z", "admin@example.com: create " + north + " at kat_live " + "2026-05-22T00:00:00Z",
		"admin@example.com: create " + north + " ever sk "}
	if !slices.Equal(s.tenant.done, want) {
		t.Errorf("done:\n%q, want\n%q", s.tenant.done, want)
	}
	for field, form := range map[string][]string{
		"name": {"name", "", "kind", "sk"}, "kind": {"name", "x", "kind", "other"}, "life": {"name", "x", "kind", "sk", "life", "-3"},
		"at": {"name", "x", "kind", "sk", "life", "at", "at", "2020-01-01T00:00"}, "at ": {"name", "x", "kind", "sk", "life", "at"},
	} {
		got := s.post("admin", "/keys/new", form...)
		if got.Code != http.StatusUnprocessableEntity {
			t.Errorf("wrong %s: %d", field, got.Code)
		}
		has(t, got.Body.String(), `id="field-`+strings.TrimSpace(field)+`-error"`)
	}
}

func TestKeysAreRotatedAndRevoked(t *testing.T) {
	s := newStand(t, nil)
	s.tenant.keys = []*kinora.Key{{ID: "key_1", Name: "CI"}, {ID: "key_2", ReplacedBy: "key_3"}}
	list := "/dashboard/o/" + north + "/keys"
	has(t, s.post("admin", "/keys/key_1/rotate", "overlap", "24").Body.String(), "sk-next", "goes on for the time")
	has(t, s.post("admin", "/keys/key_1/rotate", "overlap", "0").Body.String(), "The key before it has ended.")
	for path, overlap := range map[string]string{"/keys/key_2/rotate": "24", "/keys/key_1/rotate": "a while", "/keys/key_1/revoke": ""} {
		if got := s.post("admin", path, "overlap", overlap); got.Code != http.StatusSeeOther || got.Header().Get("Location") != list {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
	if got := s.post("admin", "/keys/key_9/revoke"); got.Code != http.StatusNotFound {
		t.Errorf("an unknown key: %d", got.Code)
	}
	slices.Sort(s.tenant.done)
	if want := []string{"admin@example.com: revoke key_1", "admin@example.com: rotate key_1 0s", "admin@example.com: rotate key_1 24h0m0s"}; !slices.Equal(s.tenant.done, want) {
		t.Errorf("done: %q", s.tenant.done)
	}
}
