// Call libnigroedge from C#: P/Invoke declarations, and a program that scores a volume of raw voxels.
//
//     Predict MODEL.onnx VOXELS.raw NX,NY,NZ SPACING_X,Y,Z left X,Y,Z
//
// VOXELS.raw holds 16 bit signed integers of this machine's byte order, the first index fastest, with
// the axes growing to right, anterior and superior from (0, 0, 0) mm. A real program takes voxels
// and affine from its own image. Set LD_LIBRARY_PATH to the folder of the library, or put the library beside the
// program; its file is named libnigroedge.so.0.
//
// SPDX-License-Identifier: Apache-2.0
using System;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;

namespace Nigroedge
{
    public enum Status
    {
        Ok = 0,
        BadArgument = 1,
        CannotRead = 2,
        BadModel = 3,
        Unsupported = 4,
        BadGeometry = 5,
        DegeneratePatch = 6,
        SideNotServed = 7,
        NoMemory = 8,
        Internal = 9,
    }

    public enum Side
    {
        Left = 1,
        Right = 2,
    }

    // The numbers of NIfTI-1's datatype.
    public enum VoxelType
    {
        UInt8 = 2,
        Int16 = 4,
        Int32 = 8,
        Float32 = 16,
        Float64 = 64,
        Int8 = 256,
        UInt16 = 512,
        UInt32 = 768,
    }

    // struct nigro_volume of nigroedge.h.
    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeVolume
    {
        public UIntPtr SizeofVolume;
        public IntPtr Voxels;
        public VoxelType Type;
        public int Swapped;

        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 3)]
        public long[] Shape;

        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 3)]
        public long[] StridesBytes;

        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 16)]
        public double[] Affine;

        public double Slope;
        public double Intercept;
    }

    // struct nigro_options of nigroedge.h.
    [StructLayout(LayoutKind.Sequential)]
    internal struct NativeOptions
    {
        public UIntPtr SizeofOptions;
        public int NumThreads;
    }

    internal static class Native
    {
        private const string Library = "libnigroedge.so.0";

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern Status nigro_model_open_memory(
            byte[] bytes,
            UIntPtr nBytes,
            ref NativeOptions options,
            out IntPtr model
        );

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern void nigro_model_free(IntPtr model);

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern Status nigro_predict(
            IntPtr model,
            ref NativeVolume volume,
            UIntPtr nPoints,
            Side[] sides,
            double[] centresMm,
            [Out] float[] sbr,
            [Out] double[] coverage
        );

        [DllImport(Library, CallingConvention = CallingConvention.Cdecl)]
        internal static extern IntPtr nigro_last_error();
    }

    public sealed class NigroedgeException : Exception
    {
        public Status Status { get; }

        internal NigroedgeException(Status status)
            : base(Marshal.PtrToStringAnsi(Native.nigro_last_error()))
        {
            Status = status;
        }

        // Called at once after the native call: the text belongs to the thread that made it.
        internal static void ThrowUnlessOk(Status status)
        {
            if (status != Status.Ok)
                throw new NigroedgeException(status);
        }
    }

    // A model in memory. One thread at a time may use it; different models may run at once.
    public sealed class Model : IDisposable
    {
        private IntPtr model;

        public Model(byte[] onnx, int threads)
        {
            var options = new NativeOptions
            {
                SizeofOptions = (UIntPtr)Marshal.SizeOf<NativeOptions>(),
                NumThreads = threads,
            };
            NigroedgeException.ThrowUnlessOk(
                Native.nigro_model_open_memory(onnx, (UIntPtr)onnx.Length, ref options, out model)
            );
        }

        // The SBR around one centroid. `voxels` holds shape[0] · shape[1] · shape[2] voxels, the
        // first index fastest; `affine` has 16 numbers, row after row: voxel index to RAS+ mm.
        public float Predict(short[] voxels, long[] shape, double[] affine, Side side, double[] mm)
        {
            if (voxels.LongLength != shape[0] * shape[1] * shape[2] || affine.Length != 16 || mm.Length != 3)
                throw new ArgumentException("expected shape[0] * shape[1] * shape[2] voxels, 16 and 3 numbers");
            var sbr = new float[1];
            var pinned = GCHandle.Alloc(voxels, GCHandleType.Pinned);
            try
            {
                var volume = new NativeVolume
                {
                    SizeofVolume = (UIntPtr)Marshal.SizeOf<NativeVolume>(),
                    Voxels = pinned.AddrOfPinnedObject(),
                    Type = VoxelType.Int16,
                    Shape = shape,
                    StridesBytes = new[] { 2, 2 * shape[0], 2 * shape[0] * shape[1] },
                    Affine = affine,
                    Slope = 1,
                    Intercept = 0,
                };
                NigroedgeException.ThrowUnlessOk(
                    Native.nigro_predict(model, ref volume, (UIntPtr)1, new[] { side }, mm, sbr, new double[1])
                );
            }
            finally
            {
                pinned.Free();
            }
            return sbr[0];
        }

        public void Dispose()
        {
            Native.nigro_model_free(model);
            model = IntPtr.Zero;
        }
    }

    internal static class Program
    {
        private static double[] Numbers(string text) =>
            text.Split(',').Select(part => double.Parse(part, CultureInfo.InvariantCulture)).ToArray();

        private static int Main(string[] args)
        {
            if (args.Length != 6)
            {
                Console.Error.WriteLine("usage: Predict MODEL.onnx VOXELS.raw NX,NY,NZ MM,MM,MM left|right X,Y,Z");
                return 2;
            }
            var bytes = File.ReadAllBytes(args[1]);
            var voxels = new short[bytes.Length / 2];
            Buffer.BlockCopy(bytes, 0, voxels, 0, 2 * voxels.Length);
            var shape = Numbers(args[2]).Select(n => (long)n).ToArray();
            var mm = Numbers(args[3]);
            var affine = new double[] { mm[0], 0, 0, 0, 0, mm[1], 0, 0, 0, 0, mm[2], 0, 0, 0, 0, 1 };
            var side = args[4] == "left" ? Side.Left : Side.Right;
            try
            {
                using (var model = new Model(File.ReadAllBytes(args[0]), 1))
                {
                    var sbr = model.Predict(voxels, shape, affine, side, Numbers(args[5]));
                    Console.WriteLine(args[4] + " " + sbr.ToString("G9", CultureInfo.InvariantCulture));
                }
            }
            catch (NigroedgeException error)
            {
                Console.Error.WriteLine("status " + (int)error.Status + ": " + error.Message);
                return 1;
            }
            return 0;
        }
    }
}
