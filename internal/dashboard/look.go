package dashboard

import (
	"context"
	"time"
)

// maxLooks bounds how many streams of this node read at a time. The API reads by the same connections, of which SQLite has four:
// however many pages are open, they leave it half of them.
const maxLooks = 2

// atPlace reads at one of the node's places for streams, and waits for one, in turn. read must not ask for another.
func atPlace[T any](ctx context.Context, v *visit, read func(context.Context) (T, error)) (found T, err error) {
	select {
	case v.looks <- struct{}{}:
	case <-ctx.Done():
		return found, errStreamEnded
	}
	defer func() { <-v.looks }()
	return read(ctx)
}

// look is atPlace for a stream that goes on: out remembers how long the reading took, without the wait for its place. A session
// that was due to be looked at meanwhile has to stand still.
func look[T any](ctx context.Context, out *live, read func(context.Context) (T, error)) (T, error) {
	return atPlace(ctx, out.v, func(ctx context.Context) (found T, err error) {
		if out.v.now().After(out.beat) {
			if err := out.stands(ctx); err != nil {
				return found, err
			}
		}
		began := time.Now()
		defer func() { out.took = time.Since(began) }()
		return read(ctx)
	})
}

// rest pauses until the next look: for least, and longer where the last one took long.
func (out *live) rest(ctx context.Context, least time.Duration) error {
	return out.pause(ctx, max(least, liveShare*out.took), nil)
}
