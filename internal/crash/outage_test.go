package crash_test

import (
	"flag"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora/internal/store/storetest"
)

var outage = flag.Duration("outage", 8*time.Second, "how long PostgreSQL is away")

// TestDatabaseOutage takes PostgreSQL away under load. The program stays up, refuses
// clearly, loses nothing that it acknowledged, and works again by itself. How fast is asked of a long outage only, which
// make outage has to itself: other packages' tests do not run beside it.
func TestDatabaseOutage(t *testing.T) {
	bin := program(t)
	pg := storetest.Own(t)
	w := newWorld(t, bin, pg.DSN)
	p := w.start(t)
	l, source := newLoad(), w.bringSource(t)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() { l.submitUntil(done, w.URL, w.Key, w.receiver.URL, source, 0, c) })
	}
	time.Sleep(3 * time.Second)
	before := len(l.acknowledged())
	if before == 0 {
		t.Fatal("nothing was acknowledged before the outage")
	}

	pg.Stop()
	away := time.Now()
	refused, other := 0, 0
	for time.Since(away) < *outage {
		switch status, body := w.submitOnce(t); {
		case status == http.StatusServiceUnavailable && strings.Contains(body, `"code":503`):
			refused++
		case status == http.StatusOK:
			// A commit may have been on its way when the server went.
			if time.Since(away) > 2*time.Second {
				t.Errorf("acknowledged without a database: %s", body)
			}
		default:
			other++
			t.Logf("answered %d %s", status, body)
		}
		time.Sleep(100 * time.Millisecond)
	}
	pg.Start()
	back := time.Now()
	for {
		if status, _ := w.submitOnce(t); status == http.StatusOK {
			break
		}
		if time.Since(back) > 30*time.Second {
			t.Fatalf("still refuses 30 s after the database is back\n%s", p.Logs())
		}
		time.Sleep(20 * time.Millisecond)
	}
	resumed := time.Since(back)
	if *outage >= time.Minute && resumed > 5*time.Second {
		t.Errorf("resumed after %v", resumed)
	}
	if refused == 0 || other > 0 {
		t.Errorf("during the outage: %d clear refusals, %d other answers", refused, other)
	}
	time.Sleep(2 * time.Second)
	close(done)
	clients.Wait()
	acknowledged := l.acknowledged()
	w.awaitEnds(t, acknowledged)
	w.awaitDeliveries(t, acknowledged)
	stop(t, p)
	w.check(t, pg.DSN, acknowledged)
	t.Logf("away %v: %d clear refusals, resumed after %v, acknowledged %d before and %d in all", *outage, refused, resumed, before, len(acknowledged))
}

// submitOnce posts one generation and returns the answer; a broken connection fails the
// test, for the program must stay up.
func (w *world) submitOnce(t *testing.T) (int, string) {
	t.Helper()
	status, body, _ := w.submitPrompt(t, "during the outage")
	return status, body
}
