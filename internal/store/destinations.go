package store

import (
	"slices"
	"strings"
	"time"

	"github.com/kinora/kinora"
)

// briefBite is how many deliveries' attempts one statement reads.
const briefBite = 500

// briefAttempts asks for the newest twenty attempts of each of so many deliveries.
func briefAttempts(deliveries int) string {
	return `SELECT delivery_id, number, started_at, duration_us, status, fault, error FROM delivery_attempts a
		WHERE delivery_id IN (?` + strings.Repeat(`,?`, deliveries-1) + `)
		AND number > (SELECT max(number) - 20 FROM delivery_attempts newest WHERE newest.delivery_id = a.delivery_id)`
}

// BriefAttempts reads how the newest attempts of deliveries went, without what was sent and answered, in no order.
func (tx *Tx) BriefAttempts(deliveryIDs []string) (list []kinora.DeliveryAttempt, err error) {
	for bite := range slices.Chunk(deliveryIDs, briefBite) {
		args := make([]any, len(bite))
		for i, one := range bite {
			args[i] = one
		}
		err := tx.Query(briefAttempts(len(bite)), args, func(row Row) error {
			var (
				a             kinora.DeliveryAttempt
				fault         string
				started, took int64
			)
			err := row.Scan(&a.DeliveryID, &a.Number, &started, &took, &a.Status, &fault, &a.Error)
			a.StartedAt, a.Duration, a.Fault = Time(started), time.Duration(took)*time.Microsecond, kinora.Fault(fault)
			list = append(list, a)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

const heldFor = `SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'held' AND destination = ? LIMIT ?) AS held`

// HeldFor counts the deliveries that are held for a destination, up to limit.
func (tx *Tx) HeldFor(destination string, limit int) (n int, err error) {
	err = tx.QueryRow(heldFor, destination, limit).Scan(&n)
	return n, err
}
