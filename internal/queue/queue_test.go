package queue_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinora/kinora/internal/queue"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTasksRunAndFailuresAreTriedAgain(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		var sound, failing atomic.Int64
		again := make(chan struct{}, 1)
		q, err := queue.New(db, []queue.Task{
			{Name: "sound", Every: time.Hour, Run: func(context.Context) error { sound.Add(1); return nil }},
			{Name: "failing", Every: time.Hour, Run: func(context.Context) error {
				if failing.Add(1) == 1 {
					return errors.New("the first run fails")
				}
				again <- struct{}{}
				return nil
			}},
		}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-again:
		case <-time.After(time.Minute):
			t.Fatalf("the failed task was not tried again; runs: %d", failing.Load())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := q.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if sound.Load() != 1 {
			t.Errorf("a task due once an hour ran %d times", sound.Load())
		}
	})
}

func TestTwoNodesRunATaskOnce(t *testing.T) {
	db := storetest.Postgres(t)
	var runs atomic.Int64
	done := make(chan struct{}, 8)
	task := queue.Task{Name: "once", Every: time.Hour, Run: func(context.Context) error {
		runs.Add(1)
		done <- struct{}{}
		return nil
	}}
	var nodes []*queue.Queue
	for range 2 {
		q, err := queue.New(db, []queue.Task{task}, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, q)
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the task did not run")
	}
	for _, q := range nodes {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := q.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
	if n := runs.Load(); n != 1 {
		t.Fatalf("the task ran %d times on two nodes", n)
	}
}

func TestTasksMustBeNamedOnce(t *testing.T) {
	db := storetest.SQLite(t)
	task := queue.Task{Name: "a", Every: time.Hour, Run: func(context.Context) error { return nil }}
	if _, err := queue.New(db, []queue.Task{task, task}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Fatal("a task named twice was taken")
	}
}
