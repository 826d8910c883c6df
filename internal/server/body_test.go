package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinora/kinora"
)

// dribble sends the head and the first byte of a submit.
func dribble(t *testing.T, f *fixture, key string, length int) net.Conn {
	t.Helper()
	conn := dialBubble(t, f.Handler())
	go fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n{", submitPath, key, length)
	return conn
}

func answerOn(t *testing.T, conn net.Conn) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// Bodies that are awaited take nobody's place, and are not awaited for long.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.MaxInFlight, c.Now = 1, time.Now })
		var slow []net.Conn
		for range 5 {
			slow = append(slow, dribble(t, f, testKey, 500))
			synctest.Wait() // its head is read in the one place
		}
		if n := f.inFlight.inside.Load(); n != 0 {
			t.Errorf("%d places are held", n)
		}
		for _, who := range []string{testKey, otherKey} {
			if w := f.do("POST", submitPath, input(""), key(who)); w.Code != 200 {
				t.Errorf("beside slow bodies a submit answered %d", w.Code)
			}
		}
		start := time.Now()
		for _, conn := range slow {
			if status, body := answerOn(t, conn); status != 400 || !strings.Contains(body, "did not arrive in time") {
				t.Errorf("answered %d %s", status, body)
			}
		}
		if took := time.Since(start); took > bodyTime+lateness {
			t.Errorf("they were awaited for %s", took)
		}
		if f.bodies.used != 0 || len(f.bodies.by) != 0 {
			t.Errorf("memory is still taken: %d", f.bodies.used)
		}
	})
}

// A large body has more time than a small one, as long as it keeps its pace.
func TestBodiesKeepAPace(t *testing.T) {
	const length = 512 << 10
	for name, c := range map[string]struct {
		every time.Duration // for a KiB
		want  string
	}{
		"steady": {40 * time.Millisecond, "invalid JSON body"},
		"slow":   {200 * time.Millisecond, "did not arrive in time"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, func(c *Config) { c.Now = time.Now })
				conn := dribble(t, f, testKey, length)
				synctest.Wait()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for sent := 1; sent < length; {
						n := min(1024, length-sent)
						if _, err := conn.Write([]byte(strings.Repeat("x", n))); err != nil {
							return
						}
						sent += n
						time.Sleep(c.every)
					}
				}()
				if status, body := answerOn(t, conn); status != 400 || !strings.Contains(body, c.want) {
					t.Errorf("answered %d %s", status, body)
				}
				conn.Close()
				<-done
				time.Sleep(time.Second) // net/http lets a refused connection linger
			})
		})
	}
}

// One organisation's bodies fill its share of the memory, and nobody else's.
func TestBodiesShareTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Now, c.Admin = time.Now, &fakeAdmin{} })
		f.bodies.most, f.bodies.share = 4*(readerCost+4096), 2*(readerCost+4096)
		for range 2 {
			dribble(t, f, testKey, 3000)
		}
		synctest.Wait()
		w := f.do("POST", submitPath, input(""))
		is(t, w, 429, taskErrorText(429, "too many requests at once", "rate_limit_error"))
		if w.Header().Get("Retry-After") != "1" {
			t.Error("it does not say when to come back")
		}
		if w := f.do("POST", submitPath, input(""), key(otherKey)); w.Code != 200 {
			t.Errorf("another organisation's submit answered %d", w.Code)
		}
		for range 2 {
			dribble(t, f, otherKey, 3000)
		}
		synctest.Wait()
		if w := f.do("POST", "/admin/v1/organisations", `{"name":"x"}`, key(adminToken)); w.Code != 201 {
			t.Errorf("the operator was answered %d", w.Code)
		}
		time.Sleep(time.Minute)
		if w := f.do("POST", submitPath, input("")); w.Code != 200 {
			t.Errorf("afterwards a submit answered %d", w.Code)
		}
	})
}

// Dribbled callbacks keep no other callback out.
func TestSlowCallbacksHoldNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.MaxInFlight, c.Now = 1, time.Now })
		conn := dialBubble(t, f.Handler())
		go io.WriteString(conn, "POST "+callbackPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
		synctest.Wait()
		if w := f.do("POST", callbackPath, "{}"); w.Code != 200 {
			t.Errorf("beside a slow callback another one was answered %d", w.Code)
		}
	})
}

// Whoever is alone on a server gets far without being refused.
func TestAThousandPostsOfOneKeyAreTaken(t *testing.T) {
	const posts = 1000
	f := newFixture(t)
	var inside sync.WaitGroup
	inside.Add(posts)
	f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
		inside.Done()
		inside.Wait() // until all are
		return nil, kinora.Errorf(kinora.ErrInvalid, "late")
	}
	answers := make(chan int, posts)
	for range posts {
		go func() {
			w := f.do("POST", submitPath, input(""))
			if w.Code != 400 {
				inside.Done() // it was refused; the others need not wait for it
			}
			answers <- w.Code
		}()
	}
	for range posts {
		if code := <-answers; code != 400 { // what accept says
			t.Errorf("one was answered %d", code)
		}
	}
}

// One organisation may hold half of the places, or what is configured; the operator has places of his own.
func TestOrganisationsShareThePlaces(t *testing.T) {
	for name, configured := range map[string]int{"half": 0, "configured": 3} {
		t.Run(name, func(t *testing.T) {
			want := 4
			if configured > 0 {
				want = configured
			}
			f := newFixture(t, func(c *Config) { c.MaxInFlight, c.OrganisationInFlight, c.Admin = 8, configured, &fakeAdmin{} })
			entered, release := make(chan struct{}), make(chan struct{})
			f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
				entered <- struct{}{}
				<-release
				return nil, kinora.Errorf(kinora.ErrInvalid, "late")
			}
			answers := make(chan *httptest.ResponseRecorder)
			for range want {
				go func() { answers <- f.do("POST", submitPath, input("")) }()
				<-entered
			}
			for range 2 { // a refusal takes no place either
				is(t, f.do("POST", submitPath, input("")), 429, taskErrorText(429, "too many requests at once", "rate_limit_error"))
				if w := f.do("GET", "/api/v1/generations/"+jobOne, ""); w.Code != 429 {
					t.Errorf("a read answered %d", w.Code)
				}
			}
			if w := f.do("GET", "/api/v1/generations/"+jobOne, "", key(otherKey)); w.Code != 404 {
				t.Errorf("another organisation was answered %d", w.Code)
			}
			f.inFlight.most = 0
			if w := f.do("GET", "/admin/v1/organisations", "", key(adminToken)); w.Code != 200 {
				t.Errorf("with all places taken the operator was answered %d", w.Code)
			}
			f.inFlight.most = 8
			close(release)
			for range want {
				<-answers
			}
			if n := f.inFlight.inside.Load(); n != 0 || len(f.inFlight.held) != 0 {
				t.Errorf("%d places are still held, %v", n, f.inFlight.held)
			}
		})
	}
}
