package server

import (
	"context"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

// fakeAccounts answers with one account in trouble and one that is well, or with err.
type fakeAccounts struct{ err error }

func (f fakeAccounts) AccountHealth(context.Context) ([]kinora.AccountHealth, error) {
	return []kinora.AccountHealth{
		{Name: "main", Provider: "sandbox", State: kinora.AccountResting, Until: testTime, InFlight: 2, MaxInFlight: 10, Today: 3, PerDay: 5,
			LastClass: "unavailable", LastCode: "503", LastAt: testTime},
		{Name: "spare", Provider: "sandbox", State: kinora.AccountReady, MaxInFlight: 10},
	}, f.err
}

func TestAdminAccounts(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Accounts = fakeAccounts{} })
	status, answer := f.admin("GET", "/admin/v1/accounts", "")
	if status != 200 || !strings.Contains(answer, `"state":"resting"`) || !strings.Contains(answer, `"last_error":null`) || !strings.Contains(answer, `"class":"unavailable"`) {
		t.Errorf("%d %s", status, answer)
	}
	if w := f.do("GET", "/admin/v1/accounts", "", key(testKey)); w.Code != 401 {
		t.Errorf("with an organisation's key: %d", w.Code)
	}
	broken := newFixture(t, func(c *Config) { c.Accounts = fakeAccounts{kinora.Errorf(kinora.ErrUnavailable, "x")} })
	if status, _ := broken.admin("GET", "/admin/v1/accounts", ""); status != 503 {
		t.Errorf("without a database: %d", status)
	}
}
