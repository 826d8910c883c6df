package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/a-h/templ"
)

// A list that is looked at is read again each livePace, and less often where reading takes long, so that pages left open cost
// a bounded share of the database's time.
const (
	livePace  = time.Second
	liveShare = 20 // a look's duration times this is the least pause behind it
	// maxLiveRows is how far a page may grow by what is new before it loses its oldest rows: two pages of the lists that do.
	maxLiveRows = 100
)

// liveRow is a row of a list that keeps itself up to date.
type liveRow interface {
	key() string     // its id
	shows() string   // names what of it may change
	made() time.Time // its place in the list
}

// digest names what a page shows. Browsers give it back when their stream begins or goes on, so that nothing is sent that they
// know, and nothing is missed that happened between page and stream.
func digest[R liveRow](rows []R) string {
	h := sha256.New()
	for _, r := range rows {
		fmt.Fprintf(h, "%s %s\n", r.key(), r.shows())
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// liveList is what is known of a page, newest first, that somebody looks at.
type liveList[R liveRow] struct {
	// find reads the page again.
	find func(ctx context.Context) ([]R, error)
	// again reads rows of the page that find has not found any more, by their ids; those that it leaves out are gone.
	again func(ctx context.Context, missing []R) (map[string]R, error)
	// replaced draws all rows anew, for a page of which only that it is old is known; changed draws what has changed.
	replaced func(rows []R) templ.Component
	changed  func(c rowChange[R]) templ.Component

	known string // digest of what find found when the page was last told
	// rows are those on the page, newest first, where more is known than their digest. Those that the filter does not find
	// any more stay where they are, so that nothing vanishes under the reader's eyes.
	rows []R
}

// follow keeps a page as it is now, until its reader leaves: rows that change, and on the newest page those that are new.
func (l *liveList[R]) follow(ctx context.Context, v *visit) error {
	return v.stream(ctx, func(ctx context.Context, out *live) error {
		l.known = out.told()
		if l.known == "" {
			l.known = v.query("seen")
		}
		for {
			news, err := look(ctx, out, l.look)
			if err == nil && news != nil {
				err = out.send(ctx, l.known, news)
			}
			if err != nil {
				return err
			}
			if err := out.rest(ctx, livePace); err != nil {
				return err
			}
		}
	})
}

// look reads the page again and returns what has changed on it, of which known is the digest then; nil = nothing has.
func (l *liveList[R]) look(ctx context.Context) (news templ.Component, err error) {
	found, err := l.find(ctx)
	if err != nil {
		return nil, err
	}
	now := digest(found)
	if len(l.rows) == 0 { // the page is known by its digest alone, or is empty
		if now != l.known {
			news = l.replaced(found)
		}
		l.rows, l.known = found, now
		return news, nil
	}
	change, err := l.change(ctx, found)
	if err != nil || change.empty() {
		return nil, err
	}
	l.known = now
	return l.changed(change), nil
}

// rowChange is what has to be done to a page.
type rowChange[R liveRow] struct {
	New     []R // above all others, newest first
	Changed []R
	Gone    []string // ids of rows that have moved to the next page, or are no more
}

func (c rowChange[R]) empty() bool { return len(c.New)+len(c.Changed)+len(c.Gone) == 0 }

// change compares the page with what the filter finds now, and takes over what is new.
func (l *liveList[R]) change(ctx context.Context, found []R) (c rowChange[R], err error) {
	now := make(map[string]R, len(found))
	for _, r := range found {
		now[r.key()] = r
	}
	var missing []R
	for _, r := range l.rows {
		if _, ok := now[r.key()]; !ok {
			missing = append(missing, r)
		}
	}
	elsewhere := map[string]R{}
	if len(missing) > 0 {
		if elsewhere, err = l.again(ctx, missing); err != nil {
			return c, err
		}
	}
	kept := make([]R, 0, len(l.rows)+len(found))
	for _, old := range l.rows {
		r, ok := now[old.key()]
		delete(now, old.key())
		if !ok {
			r, ok = elsewhere[old.key()]
		}
		if !ok {
			c.Gone = append(c.Gone, old.key())
			continue
		}
		if r.shows() != old.shows() {
			c.Changed = append(c.Changed, r)
		}
		kept = append(kept, r)
	}
	for _, r := range found {
		// One that is older than all shown has come up from the next page, and is not new.
		if _, unknown := now[r.key()]; unknown && (len(kept) == 0 || !r.made().Before(kept[len(kept)-1].made())) {
			c.New = append(c.New, r)
		}
	}
	l.rows = append(slices.Clone(c.New), kept...)
	for _, r := range l.rows[min(len(l.rows), maxLiveRows):] {
		c.Gone = append(c.Gone, r.key())
	}
	l.rows = l.rows[:min(len(l.rows), maxLiveRows)]
	return c, nil
}
