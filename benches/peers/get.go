// GETs of any kind, one at a time, with net/http: get.c's peer.
//
//	get URL REQUESTS [WARM-UP] [roots=FILE] [origins=N]
//
// One client for all, which keeps as many idle connections as there are origins, and follows redirects. It asks for no
// content coding, and has no timeouts, as by default. Prints what get.c prints.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type usage struct {
	wall         time.Time
	user, kernel float64
}

func stop(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func used() usage {
	var cpu syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &cpu)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return usage{time.Now(), seconds(cpu.Utime), seconds(cpu.Stime)}
}

func get(client *http.Client, request *http.Request, buffer []byte) int64 {
	response, err := client.Do(request)
	if err != nil {
		stop("%v", err)
	}
	var size int64
	for err == nil {
		var n int
		n, err = response.Body.Read(buffer)
		size += int64(n)
	}
	response.Body.Close()
	if err != io.EOF || response.StatusCode != 200 {
		stop("status %d, %d bytes, %v", response.StatusCode, size, err)
	}
	return size
}

func main() {
	if len(os.Args) < 3 {
		stop("usage: %s URL REQUESTS [WARM-UP] [roots=FILE] [origins=N]", os.Args[0])
	}
	url := os.Args[1]
	count, _ := strconv.Atoi(os.Args[2])
	warmUp, origins := 1, 1
	transport := &http.Transport{DisableCompression: true}
	for _, argument := range os.Args[3:] {
		name, value, named := strings.Cut(argument, "=")
		switch {
		case !named:
			warmUp, _ = strconv.Atoi(argument)
		case name == "origins":
			origins, _ = strconv.Atoi(value)
		case name == "roots":
			pem, err := os.ReadFile(value)
			if err != nil {
				stop("%v", err)
			}
			roots := x509.NewCertPool()
			roots.AppendCertsFromPEM(pem)
			// Go resumes no sessions without a cache.
			transport.TLSClientConfig = &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
		default:
			stop("an unknown argument: %s", argument)
		}
	}
	transport.MaxIdleConns = origins + 5
	client := &http.Client{Transport: transport}
	requests := make([]*http.Request, origins)
	for i := range requests {
		at := fmt.Sprintf("://127.0.%d.%d", (i+1)/256, (i+1)%256)
		request, err := http.NewRequest("GET", strings.Replace(url, "://127.0.0.1", at, 1), nil)
		if err != nil {
			stop("%v", err)
		}
		requests[i] = request
	}
	buffer := make([]byte, 256*1024)
	turn := 0
	next := func() int64 {
		request := requests[turn]
		turn = (turn + 1) % origins
		return get(client, request, buffer)
	}
	var size int64
	for range warmUp {
		size = next()
	}
	began := used()
	for range count {
		if got := next(); got != size && warmUp > 0 {
			stop("a body of %d bytes instead of %d", got, size)
		}
	}
	done := used()
	wall, user, kernel := done.wall.Sub(began.wall).Seconds(), done.user-began.user, done.kernel-began.kernel
	each, gb := 1e6/float64(count), float64(size)*float64(count)/1e9
	fmt.Printf("rps=%.0f user_us=%.3f cpu_us=%.3f\n", float64(count)/wall, user*each, (user+kernel)*each)
	fmt.Printf("mb_s=%.0f user_s_gb=%.4f sys_s_gb=%.4f cpu_s_gb=%.4f\n", gb*1e3/wall, user/gb, kernel/gb, (user+kernel)/gb)
}
