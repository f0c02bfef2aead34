// bufio.ReadSlice of Go. Reads all that a sender sends and prints "LINES BYTES SECONDS".
// Usage: go run lines.go PORT
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	conn, err := net.Dial("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	reader := bufio.NewReaderSize(conn, 8192)
	lines, bytes := 0, 0
	start := time.Now()
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			break
		}
		lines++
		bytes += len(line)
	}
	fmt.Println(lines, bytes, time.Since(start).Seconds())
}
