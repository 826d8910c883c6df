package lifecycle_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// leaseModel drives claims, results, crashes and clock jumps against the store, and
// checks what must hold whatever the order: one owner at a time, no write without the
// lease, no second upstream job for an attempt, nothing ever lost.
type leaseModel struct {
	db      *store.DB
	round   int
	now     time.Time
	ids     []string
	holding map[string][]*kinora.Attempt // node → what it believes it holds
	owner   map[string]string            // attempt → node whose lease is good
	version map[string]int64             // attempt → version of that lease: a node may hold stale ones of its own
	created map[string]int               // attempt → upstream jobs made
	ended   map[string]bool
}

func (m *leaseModel) update(t *rapid.T, fn func(tx *store.Tx) error) {
	if err := m.db.Update(context.Background(), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func (m *leaseModel) claim(t *rapid.T, node string, state kinora.AttemptState, limit int) {
	var got []*kinora.Attempt
	m.update(t, func(tx *store.Tx) (err error) {
		got, err = tx.ClaimAttempts(m.lane(), state, node, m.now, limit)
		return err
	})
	for _, a := range got {
		if other := m.owner[a.ID()]; other != "" {
			t.Fatalf("%s claimed %s, which %s holds", node, a.ID(), other)
		}
		if m.ended[a.ID()] {
			t.Fatalf("%s claimed %s, which has ended", node, a.ID())
		}
		m.owner[a.ID()], m.version[a.ID()] = node, a.Version
		m.holding[node] = append(m.holding[node], a)
	}
}

func (m *leaseModel) lane() string { return fmt.Sprintf("lane%d", m.round) }

// step lets a node act on one attempt that it believes it holds and write the result.
func (m *leaseModel) step(t *rapid.T, node string, i int, wait time.Duration, end bool) {
	a := m.holding[node][i]
	m.holding[node] = append(m.holding[node][:i], m.holding[node][i+1:]...)
	good := m.owner[a.ID()] == node && m.version[a.ID()] == a.Version && !m.ended[a.ID()]
	from := a.State
	a.LeaseOwner, a.DueAt = "", m.now.Add(wait)
	switch from {
	case kinora.AttemptQueued:
		a.State = kinora.AttemptSubmitting
		a.LeaseOwner, a.DueAt = node, time.Time{}
	case kinora.AttemptSubmitting:
		a.State = kinora.AttemptOpen
	case kinora.AttemptOpen:
		a.State = kinora.AttemptOpen
		if end {
			a.State, a.DueAt, a.FinishedAt = kinora.AttemptFailed, time.Time{}, m.now
		}
	}
	var err error
	_ = m.db.Update(context.Background(), func(tx *store.Tx) error {
		err = tx.SaveAttempt(a, from)
		return err
	})
	if (err == nil) != good {
		t.Fatalf("%s wrote %s (%s → %s) with a lease that is good=%v: %v", node, a.ID(), from, a.State, good, err)
	}
	if !good {
		return
	}
	a.Version++
	m.version[a.ID()] = a.Version
	switch a.State {
	case kinora.AttemptSubmitting:
		// Only now, with the intent committed, may the upstream be called.
		m.created[a.ID()]++
		if m.created[a.ID()] > 1 {
			t.Fatalf("%s was submitted twice", a.ID())
		}
		m.holding[node] = append(m.holding[node], a)
	case kinora.AttemptFailed:
		m.ended[a.ID()] = true
		m.owner[a.ID()] = ""
	default:
		m.owner[a.ID()] = ""
	}
}

// crash declares a node dead while it may still believe that it holds things.
func (m *leaseModel) crash(t *rapid.T, node string) {
	m.update(t, func(tx *store.Tx) error {
		_, err := tx.RemoveNode(node, m.now)
		return err
	})
	for attempt, owner := range m.owner {
		if owner == node {
			m.owner[attempt] = ""
		}
	}
}

func TestLeasesHoldUnderCrashesAndClockJumps(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		round := 0
		rapid.Check(t, func(t *rapid.T) {
			round++
			m := &leaseModel{db: db, round: round, now: time.Unix(1_800_000_000, 0), holding: map[string][]*kinora.Attempt{},
				owner: map[string]string{}, version: map[string]int64{}, created: map[string]int{}, ended: map[string]bool{}}
			m.update(t, func(tx *store.Tx) error {
				for i := range rapid.IntRange(1, 6).Draw(t, "attempts") {
					generationID := fmt.Sprintf("task_%d_%d", round, i)
					m.ids = append(m.ids, generationID)
					g := &kinora.Generation{ID: generationID, OrganisationID: organisation, State: kinora.GenerationQueued, CreatedAt: m.now, UpdatedAt: m.now, DeadlineAt: m.now.Add(time.Hour)}
					if err := tx.InsertGeneration(g); err != nil {
						return err
					}
					if err := tx.InsertAttempts(&kinora.Attempt{GenerationID: generationID, Lane: m.lane(), DueAt: m.now, CreatedAt: m.now, DeadlineAt: m.now.Add(time.Hour)}); err != nil {
						return err
					}
				}
				return nil
			})
			nodes := []string{"a", "b", "c"}
			node := rapid.SampledFrom(nodes)
			t.Repeat(map[string]func(*rapid.T){
				"claim": func(t *rapid.T) {
					// Leftovers in state submitting are settled, never claimed for submitting again.
					state := rapid.SampledFrom([]kinora.AttemptState{kinora.AttemptQueued, kinora.AttemptOpen}).Draw(t, "state")
					m.claim(t, node.Draw(t, "node"), state, rapid.IntRange(1, 4).Draw(t, "limit"))
				},
				"step": func(t *rapid.T) {
					n := node.Draw(t, "node")
					if len(m.holding[n]) == 0 {
						t.Skip("holds nothing")
					}
					i := rapid.IntRange(0, len(m.holding[n])-1).Draw(t, "i")
					m.step(t, n, i, time.Duration(rapid.IntRange(0, 5).Draw(t, "wait"))*time.Second, rapid.Bool().Draw(t, "end"))
				},
				"crash": func(t *rapid.T) { m.crash(t, node.Draw(t, "node")) },
				"clock": func(t *rapid.T) {
					m.now = m.now.Add(time.Duration(rapid.IntRange(-30, 60).Draw(t, "jump")) * time.Second)
				},
				"": func(t *rapid.T) {
					// Nothing is lost: each attempt has ended, is held, or is claimable at some time.
					err := m.db.View(context.Background(), func(tx *store.Tx) error {
						for _, generationID := range m.ids {
							list, err := tx.Attempts(generationID)
							if err != nil {
								return err
							}
							a := list[0]
							held, claimable, ended := a.LeaseOwner != "", !a.DueAt.IsZero(), !a.FinishedAt.IsZero()
							n := 0
							for _, is := range []bool{held, claimable, ended} {
								if is {
									n++
								}
							}
							if n != 1 {
								return fmt.Errorf("%s: held %v, claimable %v, ended %v", a.ID(), held, claimable, ended)
							}
							if held != (m.owner[a.ID()] != "") {
								return fmt.Errorf("%s: held by %q, model says %q", a.ID(), a.LeaseOwner, m.owner[a.ID()])
							}
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				},
			})
		})
	})
}
