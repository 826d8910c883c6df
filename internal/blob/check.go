package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
)

// checkFolder holds the object of a Check while it lasts. It starts with a dot, so no caller's key can collide with it and
// no listing shows it.
const checkFolder = ".check"

// rawStore is a store without the validation of keys.
type rawStore interface {
	put(ctx context.Context, key string, r io.Reader, opts PutOptions) (Attributes, error)
	open(ctx context.Context, key string) (Object, error)
	delete(ctx context.Context, key string) error
}

// checkRoundTrip proves that what is written can be read back and deleted.
func checkRoundTrip(ctx context.Context, s rawStore) error {
	key := checkFolder + "/" + strings.ToLower(rand.Text())
	want := []byte("storage check " + key)
	if _, err := s.put(ctx, key, bytes.NewReader(want), PutOptions{}); err != nil {
		return err
	}
	readErr := compare(ctx, s, key, want)
	// The object goes even when it could not be read.
	return errors.Join(readErr, s.delete(ctx, key))
}

func compare(ctx context.Context, s rawStore, key string, want []byte) error {
	object, err := s.open(ctx, key)
	if err != nil {
		return err
	}
	defer object.Close()
	got, err := io.ReadAll(io.LimitReader(object, int64(len(want))+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return &Error{Op: "check", Key: key, Kind: ErrUnavailable, Err: errors.New("what was read is not what was written"),
			Hint: "look for a cache or a second writer between Kinora and its storage"}
	}
	return nil
}
