package blob

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// DefaultPartSize is how much of an object is held in memory during a Put. With S3's limit of 10,000 parts it allows
	// objects of up to 78 GiB.
	DefaultPartSize = 8 << 20
	// MinPartSize is S3's own lower limit for all parts but the last.
	MinPartSize = 5 << 20

	// defaultTries is per request, with waits of at most a second in between. Whoever calls the store repeats the whole
	// step later; long waits in here would only hold up a worker.
	defaultTries = 4
)

// S3Config says where the objects are and how to get at them. The bucket must exist. The bucket, or the prefix in it,
// has to belong to this installation alone: List and Sweep take everything there for their own.
type S3Config struct {
	// Endpoint is the service's URL, e.g. "https://s3.eu-central-1.amazonaws.com" or "http://minio:9000". Without a scheme
	// it is https. It has neither path nor credentials.
	Endpoint string
	Bucket   string
	// Prefix is put before every key, with a slash in between. It may be empty.
	Prefix string
	// Region is asked of the service when empty, where it cannot be told from the endpoint.
	Region string
	// PathStyle puts the bucket into the path instead of the host name. Most services other than Amazon's need it. When
	// false the client decides by the endpoint.
	PathStyle bool

	// AccessKey and SecretKey may both be empty: the credentials then come from the environment (AWS_… or MINIO_…), the
	// shared credentials file, or the machine's role, in this order.
	AccessKey    string
	SecretKey    string `json:"-"`
	SessionToken string `json:"-"`

	// PartSize in bytes; 0 means DefaultPartSize. Each Put that runs holds up to this much in memory.
	PartSize int
	// Tries is how often one request is sent before it counts as failed; 0 means 4.
	Tries int
	// Transport carries the requests. nil means a transport of its own, which trusts the system's certificates and those
	// of SSL_CERT_FILE.
	Transport http.RoundTripper
}

// String leaves the secrets out.
func (c S3Config) String() string {
	return fmt.Sprintf("s3 endpoint=%s bucket=%s prefix=%s region=%s", redactUserinfo(c.Endpoint), c.Bucket, c.Prefix, c.Region)
}

// GoString leaves the secrets out.
func (c S3Config) GoString() string { return "blob.S3Config{" + c.String() + "}" }

// LogValue leaves the secrets out.
func (c S3Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func redactUserinfo(endpoint string) string {
	if i := strings.LastIndexByte(endpoint, '@'); i >= 0 {
		return "[redacted]" + endpoint[i:]
	}
	return endpoint
}

// client checks the configuration and makes the client for it. It does not use the network.
func (c S3Config) client() (*minio.Core, http.RoundTripper, error) {
	host, secure, err := c.host()
	if err != nil {
		return nil, nil, err
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return nil, nil, errors.New("blob: s3: give both access key and secret key, or neither")
	}
	if c.PartSize != 0 && c.PartSize < MinPartSize {
		return nil, nil, fmt.Errorf("blob: s3: part size %d is below the minimum of %d bytes", c.PartSize, MinPartSize)
	}
	if c.Prefix != "" && keyFault(c.Prefix) != "" {
		return nil, nil, fmt.Errorf("blob: s3: prefix %q cannot be used: %s", c.Prefix, keyFault(c.Prefix))
	}
	if len(c.Prefix)+1+MaxKeyBytes > 1024 {
		return nil, nil, fmt.Errorf("blob: s3: prefix is longer than %d bytes", 1024-1-MaxKeyBytes)
	}
	transport := c.Transport
	if transport == nil {
		if transport, err = minio.DefaultTransport(secure); err != nil {
			return nil, nil, fmt.Errorf("blob: s3: %w", err)
		}
	}
	options := &minio.Options{
		Creds:      c.credentials(),
		Secure:     secure,
		Region:     c.Region,
		Transport:  transport,
		MaxRetries: c.Tries,
	}
	if options.MaxRetries == 0 {
		options.MaxRetries = defaultTries
	}
	if c.PathStyle {
		options.BucketLookup = minio.BucketLookupPath
	}
	core, err := minio.NewCore(host, options)
	if err != nil {
		return nil, nil, fmt.Errorf("blob: s3: %w", err)
	}
	return core, transport, nil
}

func (c S3Config) host() (host string, secure bool, err error) {
	endpoint := c.Endpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "https://" + endpoint
	}
	u, err := url.Parse(endpoint)
	// The endpoint is not repeated in the errors: it may hold a password.
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", false, errors.New("blob: s3: the endpoint is not an http or https URL")
	case u.User != nil:
		return "", false, errors.New("blob: s3: the endpoint must not hold credentials")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", false, errors.New("blob: s3: the endpoint must not have a path; use bucket and prefix")
	case c.Bucket == "":
		return "", false, errors.New("blob: s3: the bucket is missing")
	}
	return u.Host, u.Scheme == "https", nil
}

func (c S3Config) credentials() *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.EnvMinio{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	})
}
