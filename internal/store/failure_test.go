package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

// there tells whether a generation is stored.
func there(t *testing.T, db *store.DB, id string) bool {
	t.Helper()
	err := db.View(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Generation("", id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func exec(db *store.DB, text string) error {
	return db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(text)
		return err
	})
}

// TestLostTransactionIsUnavailableForItsWholeGroup lets one write of a group lose the
// transaction of all, mostly by growing a database that may not grow: SQLite rolls back
// the whole transaction then, savepoints included.
func TestLostTransactionIsUnavailableForItsWholeGroup(t *testing.T) {
	grow := func(tx *store.Tx) error {
		big := generation("task_big")
		big.Input.Prompt = strings.Repeat("x", 1<<20)
		return tx.InsertGeneration(big)
	}
	for name, breaking := range map[string]func(tx *store.Tx) error{
		"full disk": grow,
		"full disk behind another error": func(tx *store.Tx) error {
			_ = grow(tx)
			return store.ErrStale
		},
		"full disk, not noticed": func(tx *store.Tx) error {
			_ = grow(tx)
			return nil
		},
		"full disk, next statement tried": func(tx *store.Tx) error {
			_ = grow(tx)
			return tx.InsertGeneration(generation("task_orphan"))
		},
		"full disk, then a panic": func(tx *store.Tx) error { panic(grow(tx)) },
		"rolled back without an error": func(tx *store.Tx) error {
			_, err := tx.Exec(`ROLLBACK`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			db.GroupTime(time.Hour)
			// Less than the database has: SQLite takes what it has.
			if err := exec(db, `PRAGMA max_page_count = 1`); err != nil {
				t.Fatal(err)
			}
			var (
				wg              sync.WaitGroup
				good, own, late error
				lost            error
				entered, queued = make(chan struct{}), make(chan struct{})
				boom            = errors.New("boom")
				lateCtx, cancel = context.WithCancel(context.Background())
			)
			defer cancel()
			wg.Go(func() {
				good = db.Update(context.Background(), func(tx *store.Tx) error {
					close(entered)
					<-queued
					return tx.InsertGeneration(generation("task_good"))
				})
			})
			<-entered
			for i, start := range []func(){
				func() { own = db.Update(context.Background(), func(*store.Tx) error { return boom }) },
				func() { late = db.Update(lateCtx, func(*store.Tx) error { return nil }) },
				func() { lost = db.Update(context.Background(), breaking) },
			} {
				wg.Go(start)
				for db.Queued() <= i {
					runtime.Gosched()
				}
			}
			cancel()
			close(queued)
			wg.Wait()

			for who, err := range map[string]error{"the good write": good, "the one with an error of its own": own, "the one that lost it": lost} {
				if kinora.CodeOf(err) != kinora.ErrUnavailable || errors.Is(err, store.ErrStale) || errors.Is(err, boom) {
					t.Errorf("%s got %v, want unavailable only", who, err)
				}
			}
			if !errors.Is(late, context.Canceled) || kinora.CodeOf(late) == kinora.ErrUnavailable {
				t.Errorf("the one whose context had ended got %v", late)
			}
			for _, id := range []string{"task_good", "task_big", "task_orphan"} {
				if there(t, db, id) {
					t.Errorf("%s was written by a transaction reported as lost", id)
				}
			}
			// And the writer goes on.
			if err := exec(db, `PRAGMA max_page_count = 1000000`); err != nil {
				t.Fatal(err)
			}
			if err := db.Update(t.Context(), grow); err != nil || !there(t, db, "task_big") {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// proxy stands between a pool and PostgreSQL and can stop passing bytes on while its
// connections stay open, as a broken network does.
type proxy struct {
	l      net.Listener
	server string
	wg     sync.WaitGroup
	hung   chan struct{} // closed: nothing passes any more
	cut    chan struct{} // closed: the server's next bytes are dropped and the connection ended
	held   chan struct{} // a value for bytes held back
	closed chan struct{}
}

// throughProxy opens a database of the test's own through a proxy.
func throughProxy(t *testing.T) (*store.DB, *proxy, string) {
	t.Helper()
	direct := storetest.PostgresDSN(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host, hung: make(chan struct{}), cut: make(chan struct{}), held: make(chan struct{}, 1), closed: make(chan struct{})}
	if p.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.wg.Go(p.accept)
	u.Host = p.l.Addr().String()
	db, err := store.Open(t.Context(), store.Options{DSN: u.String(), MaxConns: 2})
	if err != nil {
		p.close()
		t.Fatal(err)
	}
	// The proxy first: the pool waits for the end of what it has given up.
	t.Cleanup(func() { p.close(); _ = db.Close() })
	return db, p, direct
}

func (p *proxy) close() {
	close(p.closed)
	_ = p.l.Close()
	p.wg.Wait()
}

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = c.Close()
			return
		}
		ended := make(chan struct{})
		var once sync.Once
		end := func() { once.Do(func() { close(ended) }) }
		p.wg.Go(func() { defer end(); p.pass(s, c, nil, ended) })
		p.wg.Go(func() { defer end(); p.pass(c, s, p.cut, ended) })
		p.wg.Go(func() {
			select {
			case <-ended:
			case <-p.closed:
			}
			_ = c.Close()
			_ = s.Close()
		})
	}
}

func (p *proxy) pass(to io.Writer, from io.Reader, cut, ended <-chan struct{}) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		select {
		case <-cut:
			return
		case <-p.hung:
			select {
			case p.held <- struct{}{}:
			default:
			}
			select {
			case <-ended:
			case <-p.closed:
			}
			return
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestHangingPostgresIsUnavailable takes the network away at each point of a transaction.
// Without a budget these would hang for as long as the kernel is patient.
func TestHangingPostgresIsUnavailable(t *testing.T) {
	statement := func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM generations`); return err }
	for name, hang := range map[string]func(db *store.DB, p *proxy) error{
		"begin": func(db *store.DB, p *proxy) error {
			close(p.hung)
			return db.Update(context.Background(), func(*store.Tx) error { return nil })
		},
		"statement": func(db *store.DB, p *proxy) error {
			return db.Update(context.Background(), func(tx *store.Tx) error { close(p.hung); return statement(tx) })
		},
		"statement, its error hidden": func(db *store.DB, p *proxy) error {
			return db.Update(context.Background(), func(tx *store.Tx) error { close(p.hung); _ = statement(tx); return nil })
		},
		"statement after one that broke off": func(db *store.DB, p *proxy) error {
			return db.Update(context.Background(), func(tx *store.Tx) error { close(p.hung); _ = statement(tx); return statement(tx) })
		},
		"read": func(db *store.DB, p *proxy) error {
			return db.View(context.Background(), func(tx *store.Tx) error { close(p.hung); _, err := tx.Generation("", "task_a"); return err })
		},
		"commit": func(db *store.DB, p *proxy) error {
			return db.Update(context.Background(), func(*store.Tx) error { close(p.hung); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, p, _ := throughProxy(t)
			if err := db.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			db.TryBudget(500 * time.Millisecond)
			err := hang(db, p)
			if kinora.CodeOf(err) != kinora.ErrUnavailable || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want unavailable and no context's end", err)
			}
		})
	}
}

func TestCallersOwnEndStaysItsOwn(t *testing.T) {
	t.Parallel()
	db, p, _ := throughProxy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-p.held; cancel() }()
	err := db.Update(ctx, func(tx *store.Tx) error {
		close(p.hung)
		_, _ = tx.Exec(`DELETE FROM generations`)
		_, err := tx.Exec(`DELETE FROM attempts`)
		return err
	})
	if !errors.Is(err, context.Canceled) || kinora.CodeOf(err) == kinora.ErrUnavailable {
		t.Errorf("cancelled in a statement: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = db.Update(short, func(*store.Tx) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) || kinora.CodeOf(err) == kinora.ErrUnavailable {
		t.Errorf("deadline in begin: %v", err)
	}
}

// A commit whose answer is lost is unavailable although it was made: what
// kinora.ErrUnavailable warns of.
func TestCommitWithoutAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	db, p, direct := throughProxy(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Update(ctx, func(tx *store.Tx) error {
		if err := tx.InsertGeneration(generation("task_a")); err != nil {
			return err
		}
		close(p.cut)
		cancel() // that the caller has gone makes no difference
		return nil
	})
	if kinora.CodeOf(err) != kinora.ErrUnavailable || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want unavailable", err)
	}
	again, err := store.Open(t.Context(), store.Options{DSN: direct})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !there(t, again, "task_a") {
		t.Error("the server did not commit: the test shows nothing")
	}
}

func TestPostgresErrorsThatMayPassAreUnavailable(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	for code, want := range map[string]struct {
		tries int
		code  kinora.ErrorCode
	}{
		"40001": {5, kinora.ErrUnavailable},
		"40P01": {5, kinora.ErrUnavailable},
		"57014": {1, kinora.ErrUnavailable},
		"58030": {1, kinora.ErrUnavailable},
		"53100": {1, kinora.ErrUnavailable},
		"23505": {1, kinora.ErrInternal},
		"42P01": {1, kinora.ErrInternal},
	} {
		tries := 0
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			tries++
			_, err := tx.Exec(fmt.Sprintf(`DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '%s'; END $$`, code))
			return err
		})
		if kinora.CodeOf(err) != want.code || tries != want.tries {
			t.Errorf("%s: %v after %d tries, want %s after %d", code, err, tries, want.code, want.tries)
		}
	}
}

// A function that panics must not keep its connection.
func TestPanicReturnsTheConnection(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t)
	for range 20 {
		for _, run := range []func(context.Context, func(*store.Tx) error) error{db.Update, db.View} {
			err := run(t.Context(), func(tx *store.Tx) error { panic("a bug") })
			if err == nil || kinora.CodeOf(err) != kinora.ErrInternal {
				t.Fatalf("got %v, want an internal error", err)
			}
		}
	}
	if n := db.Postgres().Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are still taken", n)
	}
}

// Whatever statement of a write fails first, no other one of it runs after that.
func TestNothingRunsBehindAFailedStatement(t *testing.T) {
	overflow := `SELECT abs(-9223372036854775807 - length(?))`
	for name, breaking := range map[string]func(tx *store.Tx) error{
		"query": func(tx *store.Tx) error {
			return tx.Query(overflow, []any{"x"}, func(store.Row) error { return nil })
		},
		"query for each key": func(tx *store.Tx) error { return tx.QueryEach(overflow, "", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				if err := breaking(tx); err == nil {
					t.Error("the statement did not fail")
				}
				return tx.InsertGeneration(generation("task_behind"))
			})
			if err == nil {
				t.Error("a write that had failed was committed")
			}
			err = db.View(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Generation("", "task_behind")
				return err
			})
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("the row behind it: %v", err)
			}
		})
	}
}
