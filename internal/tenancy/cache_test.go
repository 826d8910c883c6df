package tenancy

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	c := newClock()
	k := newCache[int](10, time.Second, c.now)
	for i := range 1000 {
		if i%100 == 0 {
			c.advance(time.Second)
		}
		got, err := k.get(t.Context(), strconv.Itoa(i), func(context.Context) (int, error) { return i, nil })
		if err != nil || got != i {
			t.Fatalf("get %d = %d, %v", i, got, err)
		}
		if len(k.entries) > 10 {
			t.Fatalf("%d entries are kept", len(k.entries))
		}
	}
}

func TestCacheReadsOnce(t *testing.T) {
	k := newCache[int](10, time.Second, newClock().now)
	reads := 0
	begun, release := make(chan struct{}), make(chan struct{})
	read := func(context.Context) (int, error) {
		reads++
		close(begun)
		<-release
		return 7, nil
	}
	// The first caller gives up; those who wait for the same read must not suffer.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := k.get(ctx, "a", read); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that gave up got %v", err)
		}
	})
	<-begun
	cancel()
	for range 10 {
		wg.Go(func() {
			if got, err := k.get(t.Context(), "a", read); err != nil || got != 7 {
				t.Errorf("get = %d, %v", got, err)
			}
		})
	}
	close(release)
	wg.Wait()
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
}

// A read that began before a change is not kept, nor waited for by those who ask after it.
func TestCacheForgetsReadsUnderWay(t *testing.T) {
	k := newCache[string](10, time.Second, newClock().now)
	begun, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = k.get(t.Context(), "a", func(context.Context) (string, error) {
			close(begun)
			<-release
			return "old", nil
		})
	})
	<-begun
	k.forget()
	fresh := func(context.Context) (string, error) { return "new", nil }
	if got, _ := k.get(t.Context(), "a", fresh); got != "new" {
		t.Errorf("right after the change: %q", got)
	}
	close(release)
	wg.Wait()
	if got, _ := k.get(t.Context(), "a", fresh); got != "new" {
		t.Errorf("the old read was kept: %q", got)
	}
}

func TestCacheKeepsNoErrors(t *testing.T) {
	k := newCache[int](10, time.Second, newClock().now)
	broken := errors.New("broken")
	if _, err := k.get(t.Context(), "a", func(context.Context) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("get: %v", err)
	}
	if got, err := k.get(t.Context(), "a", func(context.Context) (int, error) { return 1, nil }); got != 1 || err != nil {
		t.Errorf("get after an error = %d, %v", got, err)
	}
}
