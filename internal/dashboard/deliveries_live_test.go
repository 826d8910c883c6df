package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
)

// deliveryOf is the n-th delivery that was made.
func deliveryOf(n int, state kinora.DeliveryState) *kinora.Delivery {
	return &kinora.Delivery{ID: fmt.Sprintf("dlv_%03d", n), OrganisationID: north, EventType: kinora.EventCompleted, URL: "https://a.example/hook", State: state,
		CreatedAt: noon.Add(time.Duration(n) * time.Second)}
}

// The list of deliveries keeps itself up to date: new ones come on top, and those that the filter does not find any more, dead ones that are
// sent again among them, stay and show how they are now.
func TestLiveDeliveries(t *testing.T) {
	s := newStand(t, nil)
	v := &visit{Dashboard: s.Dashboard, organisation: &kinora.Organisation{ID: north}, role: kinora.RoleMember}
	l := v.liveDeliveryList(deliveryList{Filter: deadFilterOf(nil, north), Dead: true})
	find := func(found ...*kinora.Delivery) rowChange[deliveryRow] {
		t.Helper()
		s.webhooks.mu.Lock()
		s.webhooks.listed = found
		s.webhooks.mu.Unlock()
		rows, err := l.find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if l.rows == nil {
			l.rows = rows
			return rowChange[deliveryRow]{}
		}
		c, err := l.change(t.Context(), rows)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	find(deliveryOf(2, kinora.DeliveryDead), deliveryOf(1, kinora.DeliveryDead))
	s.webhooks.exists = []*kinora.Delivery{deliveryOf(1, kinora.DeliveryPending)}
	c := find(deliveryOf(3, kinora.DeliveryDead), deliveryOf(2, kinora.DeliveryDead))
	if len(c.New) != 1 || c.New[0].ID != "dlv_003" || len(c.Changed) != 1 || c.Changed[0].State != kinora.DeliveryPending || len(c.Gone) != 0 {
		t.Errorf("told %+v", c)
	}
	s.webhooks.exists = []*kinora.Delivery{deliveryOf(1, kinora.DeliveryDelivered)}
	c = find(deliveryOf(3, kinora.DeliveryDead))
	if len(c.New) != 0 || len(endedDeliveries(c.Changed)) != 1 || len(c.Gone) != 1 || c.Gone[0] != "dlv_002" {
		t.Errorf("told %+v", c)
	}
	if c = find(deliveryOf(3, kinora.DeliveryDead)); !c.empty() {
		t.Errorf("the same once more: %+v", c)
	}
}

// The page names its stream with what it shows; a filter that cannot be asked for has none, and no stream begins for it.
func TestDeliveriesHaveAStream(t *testing.T) {
	s := newStand(t, nil)
	for _, page := range []string{"/deliveries", "/dead"} {
		has(t, s.ask("member", hooksOfNorth+page+"?event=generation.failed", nil).Body.String(), page+"/live?event=generation.failed&amp;seen=", `id="deliveries-rows"`)
	}
	s.webhooks.err = kinora.Errorf(kinora.ErrInvalid, "since must lie before until")
	for _, page := range []string{"/deliveries", "/dead"} {
		hasNot(t, s.ask("member", hooksOfNorth+page, nil).Body.String(), "/live")
		if got := s.ask("member", hooksOfNorth+page+"/live", nil); got.Code == http.StatusOK {
			t.Errorf("%s: a stream begins: %d", page, got.Code)
		}
	}
}

const slack = "https://hooks.slack.com/services/T012/B345/s3cr3t"

// The path of a webhook may be all that its receiver asks for: members see how it begins, on every page; who may change it sees it whole.
func TestMembersSeeHowAWebhookBegins(t *testing.T) {
	s := newStand(t, func(c *Config) {
		c.Organisations = fakeOrganisations{{ID: north, Name: "North", DefaultWebhook: slack, OperatorHook: slack}}
	})
	h := workflowHistory()
	h.Generation.WebhookURL, h.Generation.Input.CallbackURL = slack, slack
	h.Deliveries[0].URL = slack
	s.histories.set(h)
	for _, e := range s.webhooks.endpoints {
		e.URL = slack
	}
	s.webhooks.delivery.URL, s.webhooks.trials[0].URL = slack, slack
	echo := "404: nothing at /services/T012/B345/s3cr3t"
	s.webhooks.log[0].Response, s.webhooks.trials[0].Attempt.Response = echo, echo
	hooks := "/webhooks"
	for _, page := range []string{hooks, hooks + "/endpoints", hooks + "/endpoints/" + someEndpoint, hooks + "/deliveries", hooks + "/dead", hooks + "/deliveries/" + someDelivery,
		hooks + "/test", hooks + "/settings", "/generations/" + h.Generation.ID} {
		hasNot(t, s.page(t, "member", page), "T012", "s3cr3t")
	}
	for _, page := range []string{hooks + "/endpoints", hooks + "/deliveries/" + someDelivery, hooks + "/settings", "/generations/" + h.Generation.ID} {
		has(t, s.page(t, "member", page), "hooks.slack.com/services/…")
		for _, who := range []string{"admin", "owner", "operator"} {
			has(t, s.page(t, who, page), slack)
		}
	}
	has(t, s.page(t, "member", hooks+"/deliveries/"+someDelivery), "404: nothing at /…", "to be filled in: the whole address")
	has(t, s.page(t, "member", "/generations/"+h.Generation.ID), "to be filled in: its webhook URL, its callback URL")
	has(t, s.page(t, "admin", hooks+"/deliveries/"+someDelivery), echo)
	if body := s.page(t, "admin", "/generations/"+h.Generation.ID); strings.Contains(body, "its webhook URL") {
		t.Error("an admin's curl lacks the webhook URL")
	}
}
