package kinora_test

import (
	"testing"
	"time"

	"github.com/kinora/kinora"
)

func TestUsageQuestionsAreSettled(t *testing.T) {
	now := time.Date(2026, 6, 14, 10, 30, 0, 0, time.UTC)
	at := func(text string) time.Time {
		v, err := time.Parse("2006-01-02T15", text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct{ q, want kinora.UsageQuestion }{
		"nothing":            {kinora.UsageQuestion{}, kinora.UsageQuestion{From: at("2026-05-16T00"), To: at("2026-06-15T00"), Step: "day", By: "model"}},
		"hours":              {kinora.UsageQuestion{Step: "hour", By: "workflow"}, kinora.UsageQuestion{From: at("2026-06-13T11"), To: at("2026-06-14T11"), Step: "hour", By: "workflow"}},
		"on whole steps":     {kinora.UsageQuestion{From: at("2026-06-01T00"), To: at("2026-06-02T00")}, kinora.UsageQuestion{From: at("2026-06-01T00"), To: at("2026-06-02T00"), Step: "day", By: "model"}},
		"in between":         {kinora.UsageQuestion{From: at("2026-06-01T23"), To: at("2026-06-02T01")}, kinora.UsageQuestion{From: at("2026-06-01T00"), To: at("2026-06-03T00"), Step: "day", By: "model"}},
		"another zone":       {kinora.UsageQuestion{From: at("2026-06-01T23").In(time.FixedZone("", 7200)), To: at("2026-06-02T00")}, kinora.UsageQuestion{From: at("2026-06-01T00"), To: at("2026-06-02T00"), Step: "day", By: "model"}},
		"as many days as go": {kinora.UsageQuestion{From: at("2026-06-15T00").AddDate(0, 0, -400)}, kinora.UsageQuestion{From: at("2026-06-15T00").AddDate(0, 0, -400), To: at("2026-06-15T00"), Step: "day", By: "model"}},
	} {
		if got, err := c.q.Settle(now); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
		if again, err := c.want.Settle(now); err != nil || again != c.want {
			t.Errorf("%s: settled twice it is %+v, %v", name, again, err)
		}
	}
	for name, q := range map[string]kinora.UsageQuestion{
		"a week":          {Step: "week"},
		"by key":          {By: "key"},
		"the wrong way":   {From: now, To: now.AddDate(0, 0, -3)},
		"nothing between": {From: at("2026-06-01T00"), To: at("2026-06-01T00")},
		"too many days":   {From: at("2026-06-15T00").AddDate(0, 0, -401)},
		"too many hours":  {Step: "hour", From: at("2026-06-14T11").Add(-169 * time.Hour)},
		"hours long ago":  {Step: "hour", From: now.AddDate(0, 0, -32), To: now.AddDate(0, 0, -31)},
	} {
		if got, err := q.Settle(now); kinora.CodeOf(err) != kinora.ErrInvalid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
