package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// endedCounts reads from a server's metrics how many generations have succeeded, and how
// many have ended otherwise.
func endedCounts(ctx context.Context, server string) (succeeded, otherwise int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("the metrics answered with status %d", res.StatusCode)
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), "kinora_generations_ended_total{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(labels, "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("a counter cannot be read: %w", err)
		}
		if strings.Contains(labels, `state="succeeded"`) {
			succeeded += int(n)
		} else {
			otherwise += int(n)
		}
	}
	return succeeded, otherwise, lines.Err()
}
