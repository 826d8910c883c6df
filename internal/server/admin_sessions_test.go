package server

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

const sessionOne = "ses_01HF8Z3KQX2A6Y4N3R8M5W7V9P"

func (f fakePeople) Rename(ctx context.Context, personID, name string) error {
	if f.err == nil && len(name) > 100 {
		return kinora.Errorf(kinora.ErrInvalid, "name is longer than 100 characters")
	}
	return f.find(ctx, "", personID)
}

func (f fakePeople) Sessions(ctx context.Context, personID string) ([]kinora.Session, error) {
	return []kinora.Session{{ID: sessionOne, PersonID: personID, Address: "203.0.113.9", UserAgent: "Mozilla/5.0", CreatedAt: testTime, LastSeenAt: testTime.Add(time.Minute),
		ExpiresAt: testTime.Add(time.Hour)}}, f.find(ctx, "", personID)
}

func (f fakePeople) EndSession(ctx context.Context, personID, sessionID string) error {
	if f.err == nil && sessionID != sessionOne {
		return kinora.Errorf(kinora.ErrNotFound, "session not found")
	}
	return f.find(ctx, "", personID)
}

func (f fakePeople) EndOtherSessions(ctx context.Context, personID, keep string) error {
	if keep != "" {
		panic("an operator keeps no session of somebody else")
	}
	return f.find(ctx, "", personID)
}

func addSessionExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	const ada, nobody = "/admin/v1/persons/" + personOne, "/admin/v1/persons/per_2"
	add(200, "PATCH", ada, `{"name":"Ada L."}`)
	add(200, "GET", ada+"/sessions", "")
	add(404, "GET", nobody+"/sessions", "")
	add(204, "DELETE", ada+"/sessions", "")
	add(404, "DELETE", nobody+"/sessions", "")
	add(204, "DELETE", ada+"/sessions/"+sessionOne, "")
	add(404, "DELETE", ada+"/sessions/ses_2", "")
}

func TestAdminLooksAfterSessions(t *testing.T) {
	var calls []kinora.Actor
	f := newFixture(t, func(c *Config) { c.People = fakePeople{calls: &calls} })
	const ada = "/admin/v1/persons/" + personOne
	status, answer := f.admin("GET", ada+"/sessions", "")
	if status != 200 || !strings.Contains(answer, `"id":"`+sessionOne+`","address":"203.0.113.9","user_agent":"Mozilla/5.0"`) {
		t.Errorf("%d %s", status, answer)
	}
	for _, request := range [][2]string{{"DELETE", ada + "/sessions"}, {"DELETE", ada + "/sessions/" + sessionOne}} {
		calls = nil
		if status, answer := f.admin(request[0], request[1], ""); status != 204 || len(calls) != 1 || calls[0].Kind != kinora.ActorOperator {
			t.Errorf("%v: %d %s, by %v", request, status, answer, calls)
		}
		if w := f.do(request[0], request[1], "", key(testKey)); w.Code != 401 {
			t.Errorf("%v with an organisation's key: %d", request, w.Code)
		}
	}
	for body, want := range map[string]int{`{"name":""}`: 200, `{"name":"` + strings.Repeat("x", 101) + `"}`: 400, `{"name":"a","disabled":true}`: 400, `{}`: 400} {
		if status, answer := f.admin("PATCH", ada, body); status != want {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
}
