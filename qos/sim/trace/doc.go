// Package trace reads and writes fleets in the schema of Alibaba's cluster
// trace v2018 (github.com/alibaba/clusterdata, cluster-trace-v2018/schema.txt
// and trace_2018.md): six tables in CSV without a header.
//
// What a simulation takes from them:
//
//   - machine_meta: the first row of a machine gives its CPUs and memory.
//   - container_meta: the first row of a container gives its machine, request,
//     limit and memory. A container stays there; later rows that move it are
//     counted in Summary.
//   - container_usage: CPU in percent of the container's request (clusterdata
//     issue 62), memory in percent of its own. The mean of the valid values
//     nearest to each sample counts; a sample without one takes the last.
//   - batch_task: instances, what each asks for, when the task began. Its name
//     gives the graph: "R4_2_3" is task 4 and waits for 2 and 3; other names
//     ("task_…") wait for nobody. A task that waits for another begins when that
//     is done, whatever its row says; the others at their own time.
//   - batch_instance: the mean duration and CPU of a task's instances, and the
//     largest memory, where there are any; without, plan_cpu, plan_mem and the
//     duration of the whole task.
//   - machine_usage: only summed up, for comparison.
//
// Values that the trace marks as invalid, -1 and 101 on a scale of 0 to 100,
// and empty ones are taken as missing. A row that the schema does not allow is
// refused with a *RowError, which names file, line, column and what was
// expected. Files are read as a stream, plain, gzipped, or in a tar.gz, as they
// are published; what is kept is two bytes for each sample of each container in
// the time asked for, while reading eight, and some hundred for each task.
//
// The published data was not at hand when this was written: the tests read what
// Write made, and rows after the schema's text.
package trace
