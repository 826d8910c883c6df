package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/kinora/kinora"
)

// cursors makes and reads the cursors of paged lists: a position, and a proof that this server
// gave it out for that very question.
type cursors struct {
	keys func() [][]byte // the first one signs, all are accepted
}

const (
	cursorVersion = "kinora-cursor-v1"
	cursorProof   = 16 // bytes
	maxCursor     = 1024
)

// newCursors takes the keys anew for each cursor, because they may be rotated. Without any it
// makes one that ends with the process.
func newCursors(keys func() [][]byte) cursors {
	if keys == nil {
		own := make([]byte, sha256.Size)
		rand.Read(own) // never fails
		keys = func() [][]byte { return [][]byte{own} }
	}
	return cursors{keys: keys}
}

func proof(key []byte, question, position string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(cursorVersion + "\n" + position + "\n" + question)) // a position holds no line end
	return h.Sum(nil)[:cursorProof]
}

var cursorText = base64.RawURLEncoding.Strict()

// give makes the cursor for what follows position in the answer to question.
func (c cursors) give(question, position string) string {
	return cursorText.EncodeToString(append(proof(c.keys()[0], question, position), position...))
}

// take returns the position of a cursor. Errors: kinora.ErrInvalid where it is not one that
// was given for question.
func (c cursors) take(question, cursor string) (position string, err error) {
	if raw, err := cursorText.DecodeString(cursor); err == nil && len(cursor) <= maxCursor && len(raw) > cursorProof {
		position := string(raw[cursorProof:])
		for _, key := range c.keys() {
			if hmac.Equal(raw[:cursorProof], proof(key, question, position)) {
				return position, nil
			}
		}
	}
	return "", &kinora.Error{Code: kinora.ErrInvalid, Message: "cursor is not one that was given for this list and these filters",
		Hint: "send next_cursor of the page before as it was given, with the same filters"}
}
