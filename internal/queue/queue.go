// Package queue runs the house's upkeep as durable River jobs: retention, expiry,
// clean-up and whatever else is due once in a while on one node of many.
//
// It does not carry generations or deliveries. Those wait for capacity (a slot at an
// account, a slot at a destination), which a job queue can only express by rewriting
// rows; their own rows are their durable jobs, see docs/architecture.md.
package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"

	"github.com/kinora/kinora/internal/store"
)

// Task is one piece of upkeep. Its Run must be safe to repeat: after a crash it runs again.
type Task struct {
	Name    string
	Every   time.Duration
	Timeout time.Duration // 0 = 5 minutes
	Run     func(ctx context.Context) error
}

const (
	upkeepQueue = "upkeep"
	// keepFinished is how long River keeps finished jobs: only for looking at.
	keepFinished   = 24 * time.Hour
	defaultTimeout = 5 * time.Minute
)

// Queue runs tasks when they fall due. Make it with New, then Start.
type Queue struct {
	client riverClient
}

// riverClient is what both instantiations of River's client have in common here.
type riverClient interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// New prepares the tasks; the schema must have been migrated.
func New(db *store.DB, tasks []Task, log *slog.Logger, reg prometheus.Registerer) (*Queue, error) {
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "kinora", Name: "upkeep_runs_total",
		Help: "Runs of upkeep tasks, by task and result."}, []string{"task", "result"})
	if reg != nil {
		reg.MustRegister(runs)
	}
	byName := make(map[string]Task, len(tasks))
	var periodic []*river.PeriodicJob
	longest := defaultTimeout
	for _, t := range tasks {
		if _, twice := byName[t.Name]; twice || t.Every <= 0 {
			return nil, fmt.Errorf("queue: task %q is named twice or never due", t.Name)
		}
		byName[t.Name] = t
		longest = max(longest, t.Timeout)
		periodic = append(periodic, river.NewPeriodicJob(river.PeriodicInterval(t.Every),
			func() (river.JobArgs, *river.InsertOpts) { return upkeep{Task: t.Name}, nil },
			&river.PeriodicJobOpts{ID: t.Name, RunOnStart: true}))
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{tasks: byName, runs: runs, log: log}); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	cfg := &river.Config{
		Queues:                      map[string]river.QueueConfig{upkeepQueue: {MaxWorkers: 2}},
		Workers:                     workers,
		PeriodicJobs:                periodic,
		Logger:                      slog.New(quiet{log.Handler()}),
		FetchCooldown:               time.Second,
		FetchPollInterval:           2 * time.Second,
		JobTimeout:                  longest + time.Minute,
		RescueStuckJobsAfter:        longest + 2*time.Minute,
		CompletedJobRetentionPeriod: keepFinished,
		CancelledJobRetentionPeriod: keepFinished,
		DiscardedJobRetentionPeriod: 7 * keepFinished,
		// Nothing here is urgent: without listening, an idle server costs two queries a second less.
		PollOnly: true,
	}
	var (
		client riverClient
		err    error
	)
	if pool := db.Postgres(); pool != nil {
		client, err = river.NewClient[pgx.Tx](riverpgxv5.New(pool), cfg)
	} else {
		client, err = river.NewClient[*sql.Tx](riversqlite.New(db.RiverSQLite()), cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return &Queue{client: client}, nil
}

// Start begins to work and does not block.
func (q *Queue) Start(ctx context.Context) error {
	if err := q.client.Start(ctx); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return nil
}

// Stop lets running tasks finish until ctx ends, then breaks them off.
func (q *Queue) Stop(ctx context.Context) error {
	err := q.client.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		hard, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = q.client.StopAndCancel(hard)
	}
	return err
}

// upkeep is the one job kind. Jobs of one task are unique while one waits or runs.
type upkeep struct {
	Task string `json:"task" river:"unique"`
}

func (upkeep) Kind() string { return "upkeep" }

func (upkeep) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: upkeepQueue, MaxAttempts: 3,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning,
			rivertype.JobStateRetryable, rivertype.JobStateScheduled,
		}},
	}
}

type worker struct {
	river.WorkerDefaults[upkeep]
	tasks map[string]Task
	runs  *prometheus.CounterVec
	log   *slog.Logger
}

func (w *worker) Timeout(job *river.Job[upkeep]) time.Duration {
	if t := w.tasks[job.Args.Task].Timeout; t > 0 {
		return t
	}
	return defaultTimeout
}

func (w *worker) Work(ctx context.Context, job *river.Job[upkeep]) error {
	t, ok := w.tasks[job.Args.Task]
	if !ok {
		return river.JobCancel(fmt.Errorf("queue: there is no task %q", job.Args.Task))
	}
	err := t.Run(ctx)
	result := "ok"
	if err != nil {
		result = "failed"
		if ctx.Err() == nil {
			w.log.Warn("an upkeep task failed and is tried again", "task", t.Name, "attempt", job.Attempt, "error", err)
		}
	}
	w.runs.WithLabelValues(t.Name, result).Inc()
	return err
}
