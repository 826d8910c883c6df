package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/kinora/kinora"
)

// cost is what one hashing of a password takes.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// standardCost is what OWASP's password storage cheat sheet gives for Argon2id with little memory. A stored password names
// the cost that it was made at, so that this may rise.
var standardCost = cost{memory: 19 * 1024, passes: 2, threads: 1}

const (
	saltBytes = 16
	keyBytes  = 32
	// hashings is how many passwords are hashed at once: a crowd that signs in must wait, and not take all memory.
	hashings = 2
)

// hasher hashes passwords, a few at a time.
type hasher struct {
	cost   cost
	places chan struct{}
	dummy  string // what the password of nobody is held against, so that it takes as long as that of somebody
}

func newHasher(c cost) hasher {
	return hasher{cost: c, places: make(chan struct{}, hashings), dummy: encode(c, make([]byte, saltBytes), make([]byte, keyBytes))}
}

// hash returns a password in PHC string form, under a new salt. It waits for a place as long as ctx lets it.
func (h hasher) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails
	key, err := h.derive(ctx, password, salt, h.cost, keyBytes)
	if err != nil {
		return "", err
	}
	return encode(h.cost, salt, key), nil
}

// matches tells whether a password is the one that was stored. For a stored text that is empty it is never, and takes as long.
func (h hasher) matches(ctx context.Context, password, stored string) (bool, error) {
	if len(password) > kinora.MaxPassword {
		password = password[:kinora.MaxPassword+1] // nobody's, and no reason to hash a megabyte
	}
	nobody := stored == ""
	if nobody {
		stored = h.dummy
	}
	c, salt, want, err := decode(stored)
	if err != nil {
		return false, err
	}
	got, err := h.derive(ctx, password, salt, c, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && !nobody, nil
}

func (h hasher) derive(ctx context.Context, password string, salt []byte, c cost, length uint32) ([]byte, error) {
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, length), nil
}

var phc = base64.RawStdEncoding

func encode(c cost, salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.passes, c.threads, phc.EncodeToString(salt), phc.EncodeToString(key))
}

// decode reads what encode has written. Its error repeats nothing of the text.
func decode(stored string) (c cost, salt, key []byte, err error) {
	fail := func() (cost, []byte, []byte, error) {
		return cost{}, nil, nil, fmt.Errorf("a stored password cannot be read")
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return fail()
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.passes, &c.threads); err != nil || n != 3 || c.passes == 0 || c.threads == 0 {
		return fail()
	}
	if salt, err = phc.DecodeString(parts[4]); err != nil {
		return fail()
	}
	if key, err = phc.DecodeString(parts[5]); err != nil || len(key) < 16 {
		return fail()
	}
	return c, salt, key, nil
}

// checkPassword refuses what is no good password for somebody of that e-mail address.
func checkPassword(field, password, email string) error {
	switch {
	case !utf8.ValidString(password) || strings.ContainsRune(password, 0):
		return wrong(field, field+" must be text")
	case utf8.RuneCountInString(password) < kinora.MinPassword:
		return wrong(field, fmt.Sprintf("%s must have at least %d characters", field, kinora.MinPassword))
	case len(password) > kinora.MaxPassword:
		return wrong(field, fmt.Sprintf("%s must have at most %d bytes", field, kinora.MaxPassword))
	case strings.EqualFold(strings.TrimSpace(password), email):
		return wrong(field, field+" must not be the e-mail address")
	case strings.Count(password, password[:1]) == len(password):
		return wrong(field, field+" must not be one character over and over")
	}
	return nil
}
