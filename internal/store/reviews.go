package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kinora/kinora"
)

const reviewColumns = `generation_id, round, organisation_id, state, outputs, reason, decided_by, created_at, decided_at`

// InsertReview writes a review that waits for its decision.
func (tx *Tx) InsertReview(r *kinora.Review) error {
	_, err := tx.Exec(`INSERT INTO reviews (generation_id, round, organisation_id, state, created_at) VALUES (?,?,?,'pending',?)`,
		r.GenerationID, r.Round, r.OrganisationID, Micros(r.CreatedAt))
	if err != nil {
		return err
	}
	return tx.hold(r.GenerationID, 1)
}

// hold marks a generation as one that waits for a review (1), or no longer does (0), and moves its price into the sums of its
// organisation's reviews, or out of them.
func (tx *Tx) hold(generationID string, held int64) error {
	type moved struct {
		organisation string
		price        int64
	}
	var list []moved
	err := tx.Query(`UPDATE generations SET held = ? WHERE id = ? AND held <> ? RETURNING organisation_id, price_micros`, []any{held, generationID, held}, func(row Row) error {
		var m moved
		err := row.Scan(&m.organisation, &m.price)
		list = append(list, m)
		return err
	})
	if err != nil {
		return err
	}
	sign := 2*held - 1
	for _, m := range list {
		if _, err := tx.Exec(`INSERT INTO review_sums (organisation_id, stripe, waiting, price_micros) VALUES (?,?,?,?)
			ON CONFLICT (organisation_id, stripe) DO UPDATE SET
				waiting = review_sums.waiting + excluded.waiting,
				price_micros = review_sums.price_micros + excluded.price_micros`,
			m.organisation, tx.usageStripe(), sign, sign*m.price); err != nil {
			return err
		}
	}
	return nil
}

// PendingReview reads the review that a generation waits for, or ErrNotFound.
func (tx *Tx) PendingReview(generationID string) (*kinora.Review, error) {
	return scanReview(tx.QueryRow(`SELECT `+reviewColumns+` FROM reviews WHERE generation_id = ? AND state = 'pending'`, generationID))
}

// PendingReviews reads reviews of an organisation that wait, the oldest first, from behind a position on. An empty organisation
// reads everybody's.
func (tx *Tx) PendingReviews(organisationID string, after kinora.ReviewPosition, limit int) ([]*kinora.Review, error) {
	at := Micros(after.CreatedAt)
	if organisationID == "" {
		return tx.reviews(pendingOfAll, at, after.GenerationID, limit)
	}
	return tx.reviews(pendingOfOne, organisationID, at, after.GenerationID, organisationID, limit)
}

// The queues of reviews. That of an organisation is a range of organisations, so that PostgreSQL does not go along everybody's:
// see walk.between.
const (
	pendingOfAll = `SELECT ` + reviewColumns + ` FROM reviews WHERE state = 'pending' AND (created_at, generation_id) > (?, ?)
		ORDER BY created_at, generation_id LIMIT ?`
	pendingOfOne = `SELECT ` + reviewColumns + ` FROM reviews WHERE state = 'pending' AND (organisation_id, created_at, generation_id) > (?, ?, ?)
		AND organisation_id <= ? ORDER BY organisation_id, created_at, generation_id LIMIT ?`
)

// Reviews reads all reviews of a generation, in order of their rounds.
func (tx *Tx) Reviews(generationID string) ([]*kinora.Review, error) {
	return tx.reviews(`SELECT `+reviewColumns+` FROM reviews WHERE generation_id = ? ORDER BY round`, generationID)
}

func (tx *Tx) reviews(query string, args ...any) ([]*kinora.Review, error) {
	var list []*kinora.Review
	err := tx.Query(query, args, func(row Row) error {
		r, err := scanReview(row)
		if err == nil {
			list = append(list, r)
		}
		return err
	})
	return list, err
}

// PendingReviewCount counts the reviews that wait, but no further than limit.
func (tx *Tx) PendingReviewCount(limit int) (int, error) {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM (SELECT 1 FROM reviews WHERE state = 'pending' LIMIT ?) AS held`, limit).Scan(&n)
	return n, err
}

// EndReview writes the decision on a review that waits, else ErrStale: there is one decision.
func (tx *Tx) EndReview(r *kinora.Review) error {
	outputs := ""
	if len(r.Outputs) > 0 {
		text, err := json.Marshal(r.Outputs)
		if err != nil {
			return fmt.Errorf("store: encode review: %w", err)
		}
		outputs = string(text)
	}
	n, err := tx.Exec(`UPDATE reviews SET state = ?, outputs = ?, reason = ?, decided_by = ?, decided_at = ?
		WHERE generation_id = ? AND round = ? AND state = 'pending'`,
		string(r.State), outputs, r.Reason, r.DecidedBy, Micros(r.DecidedAt), r.GenerationID, r.Round)
	if err == nil && n == 0 {
		err = ErrStale
	}
	if err != nil {
		return err
	}
	return tx.hold(r.GenerationID, 0)
}

// WithdrawReview ends the review that a generation waits for without a decision, because the
// generation ends otherwise; ErrStale = it waits for none.
func (tx *Tx) WithdrawReview(generationID string, now time.Time) error {
	n, err := tx.Exec(`UPDATE reviews SET state = 'withdrawn', decided_at = ? WHERE generation_id = ? AND state = 'pending'`, Micros(now), generationID)
	if err == nil && n == 0 {
		err = ErrStale
	}
	if err != nil {
		return err
	}
	return tx.hold(generationID, 0)
}

func scanReview(row Row) (*kinora.Review, error) {
	var (
		r                kinora.Review
		state, outputs   string
		created, decided int64
	)
	if err := row.Scan(&r.GenerationID, &r.Round, &r.OrganisationID, &state, &outputs, &r.Reason, &r.DecidedBy, &created, &decided); err != nil {
		return nil, err
	}
	r.State, r.CreatedAt, r.DecidedAt = kinora.ReviewState(state), Time(created), Time(decided)
	if outputs != "" {
		if err := json.Unmarshal([]byte(outputs), &r.Outputs); err != nil {
			return nil, fmt.Errorf("store: decode review of %s: %w", r.GenerationID, err)
		}
	}
	return &r, nil
}
