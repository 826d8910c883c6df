package server

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/kinora/kinora"
)

type fakeMasterKeys struct{ calls []string }

func (f *fakeMasterKeys) Status(context.Context) (kinora.MasterKeys, error) {
	f.calls = append(f.calls, "status")
	return kinora.MasterKeys{Current: "aa", Keys: []kinora.MasterKeyUse{{ID: "aa", Known: true, Sealed: 3}}, Nodes: []kinora.MasterKeyNode{}}, nil
}

func (f *fakeMasterKeys) Rotate(context.Context) (kinora.MasterKeyChange, error) {
	f.calls = append(f.calls, "rotate")
	return kinora.MasterKeyChange{Current: "bb", Made: true, Resealed: 3, Older: []string{"aa"}, Forgotten: []string{}}, nil
}

func (f *fakeMasterKeys) ForgetOld(_ context.Context, early bool) (kinora.MasterKeyChange, error) {
	f.calls = append(f.calls, fmt.Sprint("forget ", early))
	return kinora.MasterKeyChange{}, &kinora.Error{Code: kinora.ErrConflict, Message: "still needed", Hint: "rotate"}
}

func TestMasterKeyOperations(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		answer             string
		calls              []string
	}{
		"status": {"GET", "", "", 200, `{"current":"aa","file":false,"keys":[{"id":"aa","known":true,"sealed":3}],"nodes":[]}`, []string{"status"}},
		"rotate": {"POST", "/rotate", "", 200, `{"current":"bb","made":true,"resealed":3,"older":["aa"],"forgotten":[]}`, []string{"rotate"}},
		"forget": {"POST", "/forget-old", `{"early":true}`, 409, `{"error":{"code":"conflict","message":"still needed","hint":"rotate"}}`, []string{"forget true"}},
		"closed": {"POST", "/forget-old", `{"now":true}`, 400, `{"error":{"code":"invalid","message":"now is not a known field"}}`, nil},
	} {
		keys := &fakeMasterKeys{}
		f := newFixture(t, func(c *Config) { c.MasterKeys = keys })
		status, answer := f.admin(tc.method, "/admin/v1/master-key"+tc.path, tc.body)
		if status != tc.status || answer != tc.answer {
			t.Errorf("%s: answered %d\n%s\nwant %d\n%s", name, status, answer, tc.status, tc.answer)
		}
		if !slices.Equal(keys.calls, tc.calls) {
			t.Errorf("%s: asked for %q, want %q", name, keys.calls, tc.calls)
		}
		if w := f.do(tc.method, "/admin/v1/master-key"+tc.path, tc.body, key(testKey)); w.Code != 401 {
			t.Errorf("%s with an API key: answered %d", name, w.Code)
		}
	}
}

// documentedMasterKeys answers every call; err, when set, is what all its methods return.
type documentedMasterKeys struct{ err error }

func (d documentedMasterKeys) Status(context.Context) (kinora.MasterKeys, error) {
	return kinora.MasterKeys{Current: "0123abcd", File: true, Keys: []kinora.MasterKeyUse{{ID: "0123abcd", Known: true, Sealed: 2}},
		Nodes: []kinora.MasterKeyNode{{ID: "node_1", Keys: []string{"0123abcd"}}}}, d.err
}

func (d documentedMasterKeys) Rotate(context.Context) (kinora.MasterKeyChange, error) {
	return kinora.MasterKeyChange{Current: "0123abcd", Older: []string{"89ab4567"}, Forgotten: []string{}}, d.err
}

func (d documentedMasterKeys) ForgetOld(context.Context, bool) (kinora.MasterKeyChange, error) {
	return kinora.MasterKeyChange{Current: "0123abcd", Older: []string{}, Forgotten: []string{"89ab4567"}}, d.err
}
