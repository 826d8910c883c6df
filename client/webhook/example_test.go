package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/kinora/kinora/client/webhook"
)

// A receiver that is mounted as it is. It drops repeats by job and event type, as every receiver has to: here in
// memory, in earnest by a unique key in the transaction that records the work.
func ExampleHandler() {
	verifier, err := webhook.NewVerifier([]string{"whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="})
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := map[string]bool{}
	receiver := httptest.NewServer(webhook.Handler(verifier, func(_ context.Context, event webhook.Event) error {
		key := event.JobID + " " + event.EventType
		if seen[key] {
			fmt.Println("repeat:", key)
			return nil
		}
		seen[key] = true
		fmt.Println("event:", key)
		return nil
	}))
	defer receiver.Close()

	for range 2 {
		fmt.Println(deliver(receiver.URL))
	}
	// Output:
	// event: job_1 generation.completed
	// 200 OK
	// repeat: job_1 generation.completed
	// 200 OK
}

// During a rotation the receiver knows both secrets; any match is enough.
func ExampleVerifier_Verify() {
	verifier, err := webhook.NewVerifier(
		[]string{
			"whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3MzI=",
			"whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=",
		},
		webhook.WithClock(func() time.Time { return time.Unix(1790000010, 0) }), // the signed delivery below is from then
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{}
	header.Set("webhook-id", "evt_01JXEVT0000000000000000001")
	header.Set("webhook-timestamp", "1790000000")
	header.Set("webhook-signature", "v1,rwIFyjFQBv9w3e4EXsJhRww7OoR+LapZGj/HUo9e678=")
	body := `{"event_type":"generation.failed","job_id":"job_01JXJ0B0000000000000000001","source_asset_id":"src_01JXSRC0000000000000000001","reference":"listing-123","outputs":[],"failure":{"code":"quality_rejected","message":"no output passed review","retryable":true},"metadata":{"row":7}}`

	event, err := verifier.Verify(header, []byte(body))
	fmt.Println(event.EventType, *event.Reference, event.Failure.Code, err)

	_, err = verifier.Verify(header, []byte(strings.Replace(body, "listing-123", "listing-124", 1)))
	fmt.Println(errors.Is(err, webhook.ErrMismatch))
	// Output:
	// generation.failed listing-123 quality_rejected <nil>
	// true
}

// deliver posts one event as the server does, and returns the receiver's status.
func deliver(url string) string {
	const secret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
	now := time.Now()
	signature, err := webhook.SignStandard(secret, "evt_1", now, []byte(body))
	if err != nil {
		return err.Error()
	}
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set(webhook.HeaderID, "evt_1")
	req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(webhook.HeaderSignature, signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	return resp.Status
}
