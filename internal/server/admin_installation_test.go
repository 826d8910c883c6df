package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
)

const offerPath = "/admin/v1/operator/offer"

// documentedInstallation has one migration that waits, and fails with err where that is set.
type documentedInstallation struct{ err error }

func (documentedInstallation) Version() string  { return "v1.2.3" }
func (documentedInstallation) Database() string { return "sqlite" }
func (i documentedInstallation) Migrations(context.Context) ([]kinora.Migration, error) {
	return []kinora.Migration{{Version: 1, Name: "00001_core.sql", Applied: true}, {Version: 2, Name: "00002_more.sql"}}, i.err
}
func (documentedInstallation) Models() []kinora.OfferedModel {
	return []kinora.OfferedModel{
		{Model: kinora.Model{Name: "kling-v1", Kind: kinora.KindVideo, Provider: "kling", Routes: []kinora.Route{{Provider: "kling", Accounts: []string{"main"}}, {Provider: "other", UpstreamModel: "kv1"}}}, Price: 350_000},
		{Model: kinora.Model{Name: "sandbox-image", Kind: kinora.KindImage, Provider: "sandbox"}},
	}
}
func (documentedInstallation) Workflows() []kinora.OfferedWorkflow {
	return []kinora.OfferedWorkflow{{Name: "staging", Description: "Furnishes.", Model: "sandbox-image", Kind: kinora.KindImage, File: "built-in", Review: true}}
}

func addInstallationExchanges(add func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase) {
	add(200, "GET", "/admin/v1/operator/installation", "")
	add(200, "GET", offerPath, "")
}

func TestInstallationAndOffer(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Installation = documentedInstallation{} })
	status, answer := f.admin("GET", "/admin/v1/operator/installation", "")
	if want := `{"version":"v1.2.3","database":"sqlite","pending":1,"migrations":[{"version":1,"name":"00001_core.sql","applied":true},{"version":2,"name":"00002_more.sql","applied":false}]}`; status != 200 || answer != want {
		t.Errorf("%d %s", status, answer)
	}
	status, answer = f.admin("GET", offerPath, "")
	for _, want := range []string{
		`{"id":"kling-v1","kind":"video","price_usd":0.35,"deadline_seconds":3600,"routes":[{"provider":"kling","upstream_model":"kling-v1","accounts":["main"]},{"provider":"other","upstream_model":"kv1","accounts":[]}]}`,
		`{"id":"sandbox-image","kind":"image","price_usd":null,`,
		`{"name":"staging","description":"Furnishes.","model":"sandbox-image","kind":"image","file":"built-in","review":true,"price_usd":null}`,
	} {
		if status != 200 || !strings.Contains(answer, want) {
			t.Errorf("%d %s\nlacks %s", status, answer, want)
		}
	}
	for _, path := range []string{"/admin/v1/operator/installation", offerPath} {
		if w := f.do("GET", path, "", key(testKey)); w.Code != 401 {
			t.Errorf("%s with an organisation's key: %d", path, w.Code)
		}
	}
}
