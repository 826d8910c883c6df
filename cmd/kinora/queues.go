package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

type queuesCommand struct{ operator }

type depthShape struct {
	Due     int `json:"due"`
	Waiting int `json:"waiting"`
	InHand  int `json:"in_hand"`
}

func (q *queuesCommand) Run(ctx context.Context, c *console) error {
	var queues queuesShape
	return q.show(ctx, c, "/operator/queues", &queues, func() { c.showQueues(queues) })
}

// queuesShape is the part of the admin API's queues that is shown as text.
type queuesShape struct {
	CountedUpTo int `json:"counted_up_to"`
	Lanes       []struct {
		Lane      string    `json:"lane"`
		State     string    `json:"state"`
		Due       int       `json:"due"`
		Waiting   int       `json:"waiting"`
		OldestDue time.Time `json:"oldest_due"`
	} `json:"lanes"`
	AttemptsInHand int `json:"attempts_in_hand"`
	Deliveries     struct {
		depthShape
		Held int `json:"held"`
		Dead int `json:"dead"`
	} `json:"deliveries"`
	Replays int        `json:"replays"`
	Ingests depthShape `json:"ingests"`
	Reviews struct {
		Waiting int       `json:"waiting"`
		Oldest  time.Time `json:"oldest"`
	} `json:"reviews"`
	Upkeep map[string]int `json:"upkeep"`
	Nodes  []struct {
		ID        string    `json:"id"`
		StartedAt time.Time `json:"started_at"`
		BeatAt    time.Time `json:"beat_at"`
		InHand    int       `json:"in_hand"`
	} `json:"nodes"`
}

func (c *console) showQueues(q queuesShape) {
	n := func(count int) string {
		if count >= q.CountedUpTo {
			return fmt.Sprintf("%d+", q.CountedUpTo)
		}
		return fmt.Sprint(count)
	}
	rows := make([][]string, 0, len(q.Lanes)+2)
	for _, l := range q.Lanes {
		since := "–"
		if !l.OldestDue.IsZero() {
			since = stamp(l.OldestDue)
		}
		rows = append(rows, []string{printable(l.Lane) + ", " + printable(l.State), n(l.Due), n(l.Waiting), since})
	}
	rows = append(rows, []string{"deliveries", n(q.Deliveries.Due), n(q.Deliveries.Waiting), "–"}, []string{"ingests", n(q.Ingests.Due), n(q.Ingests.Waiting), "–"})
	c.table([]string{"QUEUE", "DUE", "WAITING", "OLDEST DUE"}, rows)
	c.say("")
	c.say("in hand     %s attempts, %s deliveries, %s ingests", n(q.AttemptsInHand), n(q.Deliveries.InHand), n(q.Ingests.InHand))
	c.say("deliveries  %s held for their destinations, %s dead", n(q.Deliveries.Held), n(q.Deliveries.Dead))
	c.say("replays     %s", n(q.Replays))
	reviews := n(q.Reviews.Waiting)
	if !q.Reviews.Oldest.IsZero() {
		reviews += ", the oldest since " + stamp(q.Reviews.Oldest)
	}
	c.say("reviews     %s", reviews)
	for _, state := range slices.Sorted(maps.Keys(q.Upkeep)) {
		c.say("upkeep      %s %s", n(q.Upkeep[state]), printable(state))
	}
	c.say("")
	nodes := make([][]string, len(q.Nodes))
	for i, node := range q.Nodes {
		nodes[i] = []string{printable(node.ID), stamp(node.StartedAt), stamp(node.BeatAt), n(node.InHand)}
	}
	c.table([]string{"NODE", "STARTED", "LAST SIGN OF LIFE", "IN HAND"}, nodes)
}
