package webhook_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
	"github.com/kinora/kinora/internal/webhook"
)

// TestUnreadableSecretsCostNoAttempt: while no key opens an organisation's secrets its deliveries wait, however long that
// lasts, and leave when a key is back.
func TestUnreadableSecretsCostNoAttempt(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rcv := newReceiver(t, always(200))
		org := w.organisation("org_1", rcv.url())
		w.secrets.mu.Lock()
		w.secrets.err = &kinora.Error{Code: kinora.ErrInternal, Message: "a secret cannot be read", Err: errors.New("no such key")}
		w.secrets.mu.Unlock()
		list := w.events(3, func(int) (string, string) { return org, "" })
		registry := prometheus.NewRegistry()
		var log syncText
		w.run(t, func(c *webhook.Config) {
			c.Metrics, c.Poll, c.Logger = registry, 5*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
		})
		// Twenty looks at the least, which is more than a schedule has steps.
		for looks := 1.0; looks <= 20; looks++ {
			eventually(t, "another look at the secrets", func() bool { return counted(t, registry, "kinora_webhook_unreadable_secrets_total") >= looks })
			eventually(t, "the deliveries to be given back", func() bool { return w.count(`state = 'pending' AND lease_owner = '' AND attempts = 0`) == 3 })
			w.clock.add(31 * time.Second)
		}
		for _, d := range list {
			if attempts := w.log(d.ID); len(attempts) != 0 {
				t.Errorf("attempts were used up: %+v", attempts)
			}
		}
		if n := strings.Count(log.String(), "signing secrets cannot be read"); n < 2 || n > 12 {
			t.Errorf("told %d times in ten minutes, want once a minute\n%s", n, log.String())
		}
		w.secrets.mu.Lock()
		w.secrets.err = nil
		w.secrets.mu.Unlock()
		w.clock.add(31 * time.Second)
		w.settled(t)
		if n := w.count(`state = 'delivered' AND attempts = 1`); n != 3 {
			t.Errorf("%d deliveries arrived, want 3", n)
		}
	})
}

// counted is the sum of a counter's series.
func counted(t *testing.T, from prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
	}
	return sum
}

// syncText is a buffer that may be read while it is written.
type syncText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
