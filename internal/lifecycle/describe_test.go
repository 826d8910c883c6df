package lifecycle_test

import (
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// fielding is a fake that counts how often it is asked for the fields of a model.
type fielding struct {
	*fake
	count *countedFields
}

type countedFields struct {
	mu sync.Mutex
	n  int
}

func (f fielding) Fields(string, kinora.Kind) []kinora.Field {
	f.count.mu.Lock()
	defer f.count.mu.Unlock()
	f.count.n++
	return []kinora.Field{{Name: "input.prompt", Type: kinora.FieldLongText, Label: "Prompt", Required: true}}
}

// Hundreds of inputs are tried to describe a model: once for each, however often and by however many at once it is asked for, and
// whoever is told may do with it as he likes.
func TestFieldsAreTriedOnce(t *testing.T) {
	up := fielding{newFake(t), &countedFields{}}
	h := build(t, storetest.SQLite(t), t.TempDir(), up)
	name := h.Models()[0].Name
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			d, err := h.DescribeModel(name)
			if err != nil || len(d.Fields) != 1 || d.Fields[0].Label != "Prompt" {
				t.Errorf("%+v, %v", d, err)
				return
			}
			d.Fields[0].Label = "mine"
		})
	}
	wg.Wait()
	if up.count.n != 1 {
		t.Errorf("the fields were tried %d times", up.count.n)
	}
}

// Which nodes are silent is told as this node has watched them: what their clocks say does not matter.
func TestSilentNodesAreTold(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		h := build(t, db, t.TempDir(), newFake(t), func(c *lifecycle.Config) { c.Timing.Beat = time.Second }).start(t)
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Beat("node_gone", nil, time.Now(), time.Now().Add(time.Hour)) // its clock is an hour ahead
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var silent map[string]time.Duration
		h.until(t, "the silence is noticed", func() bool { silent = h.SilentNodes(); return silent["node_gone"] > 0 })
		if len(silent) != 1 || silent["node_gone"] < 2*time.Second || silent["node_gone"] > time.Minute {
			t.Errorf("silent: %v", silent)
		}
		h.until(t, "others have taken over", func() bool { return len(h.SilentNodes()) == 0 })
	})
}
