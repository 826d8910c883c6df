package store

import (
	"encoding/json"
	"time"

	"github.com/kinora/kinora"
)

// insertDeliveryAttempts writes the log of attempts. One that is there already stays as it is.
func (tx *Tx) insertDeliveryAttempts(log []*kinora.DeliveryAttempt) error {
	sets := make([][]any, len(log))
	for i, a := range log {
		sent := ""
		if !a.Sent.IsZero() {
			text, err := json.Marshal(a.Sent)
			if err != nil {
				return err
			}
			sent = string(text)
		}
		sets[i] = []any{a.DeliveryID, a.Number, Micros(a.StartedAt), a.Duration.Microseconds(), a.Status, string(a.Fault), a.Error, a.Address,
			a.DNS.Microseconds(), a.Connect.Microseconds(), a.TLS.Microseconds(), a.FirstByte.Microseconds(), sent, a.ResponseHead, a.Response,
			Micros(a.NextAt)}
	}
	return tx.insertMany("delivery_attempts", []string{"delivery_id", "number", "started_at", "duration_us", "status", "fault", "error", "address",
		"dns_us", "connect_us", "tls_us", "first_byte_us", "sent", "response_head", "response", "next_at"}, true, sets)
}

// maxAttemptLog bounds what is read of one delivery's log, which grows with each redelivery.
const maxAttemptLog = 100

// DeliveryAttempts reads the newest hundred attempts of a delivery, oldest first.
func (tx *Tx) DeliveryAttempts(deliveryID string) ([]kinora.DeliveryAttempt, error) {
	var list []kinora.DeliveryAttempt
	err := tx.Query(`SELECT * FROM (SELECT delivery_id, number, started_at, duration_us, status, fault, error, address, dns_us, connect_us, tls_us,
			first_byte_us, sent, response_head, response, next_at FROM delivery_attempts WHERE delivery_id = ? ORDER BY number DESC LIMIT ?) AS newest
		ORDER BY number`, []any{deliveryID, maxAttemptLog}, func(row Row) error {
		a, err := scanDeliveryAttempt(row)
		list = append(list, a)
		return err
	})
	return list, err
}

func scanDeliveryAttempt(row Row) (a kinora.DeliveryAttempt, err error) {
	var (
		fault, sent                                           string
		started, duration, dns, connect, tls, firstByte, next int64
	)
	if err := row.Scan(&a.DeliveryID, &a.Number, &started, &duration, &a.Status, &fault, &a.Error, &a.Address, &dns, &connect, &tls,
		&firstByte, &sent, &a.ResponseHead, &a.Response, &next); err != nil {
		return a, err
	}
	if sent != "" {
		if err := json.Unmarshal([]byte(sent), &a.Sent); err != nil {
			return a, err
		}
	}
	a.StartedAt, a.NextAt, a.Fault = Time(started), Time(next), kinora.Fault(fault)
	for _, f := range []struct {
		to *time.Duration
		us int64
	}{{&a.Duration, duration}, {&a.DNS, dns}, {&a.Connect, connect}, {&a.TLS, tls}, {&a.FirstByte, firstByte}} {
		*f.to = time.Duration(f.us) * time.Microsecond
	}
	return a, nil
}
